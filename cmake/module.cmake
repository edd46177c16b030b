# tandem_module(NAME [extra sources...] [USES modules or libraries...] [PRIVATE_USES libraries...])
# One static library tandem_NAME from all .c files of the folder. USES are visible to its users; PRIVATE_USES are
# libraries that only its own sources may include.
function(tandem_module name)
    cmake_parse_arguments(M "" "" "USES;PRIVATE_USES" ${ARGN})
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
    add_library(tandem_${name} STATIC ${sources} ${M_UNPARSED_ARGUMENTS})
    target_link_libraries(tandem_${name} PUBLIC tandem_flags ${M_USES} PRIVATE ${M_PRIVATE_USES})
endfunction()
