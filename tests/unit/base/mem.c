#include "tandem/mem.h"

#include <stddef.h>
#include <stdint.h>

#include "child.h"
#include "test.h"

static void arrays_are_zeroed_and_counted(void)
{
    size_t before = mem_live_bytes();
    int *numbers = mem_array(100, sizeof *numbers);
    CU_ASSERT_EQUAL(mem_live_bytes() - before, 100 * sizeof *numbers);
    CU_ASSERT_EQUAL((uintptr_t)numbers % _Alignof(max_align_t), 0);
    int sum = 0;
    for (int i = 0; i < 100; i++)
        sum += numbers[i] != 0;
    CU_ASSERT_EQUAL(sum, 0);
    mem_free(numbers);
    CU_ASSERT_EQUAL(mem_live_bytes(), before);
}

static void lines_are_aligned(void)
{
    size_t before = mem_live_bytes();
    for (size_t bytes = 0; bytes < 300; bytes += 7) {
        unsigned char *line = mem_lines(bytes, 1);
        CU_ASSERT_EQUAL((uintptr_t)line % MEM_LINE_BYTES, 0);
        CU_ASSERT_EQUAL(mem_live_bytes() - before, bytes);
        unsigned char any = 0;
        for (size_t i = 0; i < bytes; i++) {
            any |= line[i];
            line[i] = 1;
        }
        CU_ASSERT_EQUAL(any, 0);
        mem_free(line);
    }
    CU_ASSERT_EQUAL(mem_live_bytes(), before);
}

static void nothing_is_null(void)
{
    CU_ASSERT_PTR_NULL(mem_array(0, 8));
    CU_ASSERT_PTR_NULL(mem_array(8, 0));
    mem_free(NULL);
}

static void growth_keeps_and_zeroes(void)
{
    size_t before = mem_live_bytes();
    size_t capacity = 0, reallocations = 0;
    int64_t *numbers = NULL;
    bool zeroed = true, kept = true;
    for (size_t i = 0; i < 10000; i++) {
        size_t old = capacity;
        numbers = mem_grow(numbers, &capacity, i + 1, sizeof *numbers);
        reallocations += capacity != old;
        for (size_t j = old; j < capacity; j++)
            zeroed = zeroed && numbers[j] == 0;
        numbers[i] = (int64_t)i;
    }
    for (size_t i = 0; i < 10000; i++)
        kept = kept && numbers[i] == (int64_t)i;
    CU_ASSERT_TRUE(zeroed);
    CU_ASSERT_TRUE(kept);
    CU_ASSERT_TRUE(capacity >= 10000 && reallocations < 30);
    CU_ASSERT_EQUAL(mem_live_bytes() - before, capacity * sizeof *numbers);
    CU_ASSERT_PTR_EQUAL(mem_grow(numbers, &capacity, 5, sizeof *numbers), numbers);
    mem_free(numbers);
    CU_ASSERT_EQUAL(mem_live_bytes(), before);
}

static void strings_are_copied(void)
{
    const char *word = "decode";
    char *copy = mem_string(word);
    CU_ASSERT_STRING_EQUAL(copy, word);
    CU_ASSERT_PTR_NOT_EQUAL(copy, word);
    mem_free(copy);
    copy = mem_string("");
    CU_ASSERT_STRING_EQUAL(copy, "");
    mem_free(copy);
}

static void ask_too_much(void)
{
    mem_array(SIZE_MAX / 4, 8);
}

static void an_overflow_aborts(void)
{
    struct child child = child_run(ask_too_much);
    CU_ASSERT_TRUE(child.aborted);
    CU_ASSERT_PTR_NOT_NULL(strstr(child.output, "elements of 8 bytes"));
}

int main(void)
{
    const struct test_case cases[] = {
        {"arrays are zeroed, aligned and counted", arrays_are_zeroed_and_counted},
        {"lines are aligned", lines_are_aligned},
        {"an array of nothing is NULL", nothing_is_null},
        {"growth keeps the old and zeroes the new", growth_keeps_and_zeroes},
        {"strings are copied", strings_are_copied},
        {"a size that overflows aborts", an_overflow_aborts},
    };
    return test_main("mem", cases, sizeof cases / sizeof cases[0]);
}
