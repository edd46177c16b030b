/* Internal errors: conditions that only a defect of Tandem can break. Always on. */
#ifndef TANDEM_CHECK_H
#define TANDEM_CHECK_H

#define CHECK(condition, ...)                                                                                \
    do {                                                                                                     \
        if (__builtin_expect(!(condition), 0))                                                               \
            check_failed(__FILE__, __LINE__, #condition, __VA_ARGS__);                                       \
    } while (0)

/* Prints file, line, the condition and the message (printf format) to stderr and aborts. Local. */
_Noreturn void check_failed(const char *file, int line, const char *condition, const char *format, ...)
    __attribute__((format(printf, 4, 5), cold));

#endif
