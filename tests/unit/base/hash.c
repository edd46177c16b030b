#include "tandem/hash.h"

#include <errno.h>
#include <unistd.h>

#include "test.h"

static void check_sha256(const char *bytes, size_t count, const char *expected)
{
    char hex[65] = "";
    FILE *file = tmpfile();
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(fwrite(bytes, 1, count, file), count);
    CU_ASSERT_EQUAL(fflush(file), 0);
    CU_ASSERT_TRUE(hash_sha256_file(fileno(file), hex));
    CU_ASSERT_STRING_EQUAL(hex, expected);
    CU_ASSERT_EQUAL(lseek(fileno(file), 0, SEEK_CUR), (off_t)count);
    fclose(file);
}

static void sha256_known_answers(void)
{
    /* FIPS 180-4, examples of NIST. */
    static char million[1000000];
    memset(million, 'a', sizeof million);
    check_sha256("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check_sha256("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check_sha256(million, sizeof million, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void sha256_of_a_pipe_fails(void)
{
    int ends[2];
    char hex[65];
    CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
    CU_ASSERT_FALSE(hash_sha256_file(ends[0], hex));
    CU_ASSERT_EQUAL(errno, ESPIPE);
    close(ends[0]);
    close(ends[1]);
}

static void mix64_known_answers(void)
{
    /* The first outputs of splitmix64 from state 0. */
    CU_ASSERT_EQUAL(hash_mix64(0), UINT64_C(0xe220a8397b1dcdaf));
    CU_ASSERT_EQUAL(hash_mix64(UINT64_C(0x9e3779b97f4a7c15)), UINT64_C(0x6e789e6aa1b965f4));
}

static void every_bit_matters(void)
{
    /* Flipping one input bit flips each output bit in half of the cases. */
    int worst = 0;
    for (int in = 0; in < 64; in++)
        for (int out = 0; out < 64; out++) {
            int flips = 0;
            for (uint64_t i = 0; i < 1000; i++)
                flips += (int)((hash_mix64(i) ^ hash_mix64(i ^ UINT64_C(1) << in)) >> out & 1);
            if (abs(flips - 500) > worst)
                worst = abs(flips - 500);
        }
    CU_ASSERT_TRUE(worst < 90); /* 5.7 standard deviations of a fair coin, over 4096 cases */
}

static void order_matters(void)
{
    uint64_t ab = hash_combine(hash_combine(0, 1), 2);
    uint64_t ba = hash_combine(hash_combine(0, 2), 1);
    CU_ASSERT_NOT_EQUAL(ab, ba);
    CU_ASSERT_NOT_EQUAL(hash_combine(0, 1), hash_combine(1, 0));
}

/* Length, order and seed count, and so does each byte. */
static void bytes_are_hashed(void)
{
    char bytes[20] = "0123456789abcdefghi";
    uint64_t hash = hash_bytes(0, bytes, 19);
    CU_ASSERT_EQUAL(hash, hash_bytes(0, bytes, 19));
    CU_ASSERT_NOT_EQUAL(hash, hash_bytes(1, bytes, 19));
    CU_ASSERT_NOT_EQUAL(hash, hash_bytes(0, bytes, 20)); /* a zero byte more */
    for (size_t i = 0; i < 19; i++) {
        bytes[i] ^= 1;
        CU_ASSERT_NOT_EQUAL(hash, hash_bytes(0, bytes, 19));
        bytes[i] ^= 1;
    }
}

int main(void)
{
    const struct test_case cases[] = {
        {"SHA-256 gives the published digests", sha256_known_answers},
        {"SHA-256 of what cannot be read twice fails", sha256_of_a_pipe_fails},
        {"mix64 is splitmix64", mix64_known_answers},
        {"mix64 has full avalanche", every_bit_matters},
        {"the order of fields matters", order_matters},
        {"bytes are hashed", bytes_are_hashed},
    };
    return test_main("hash", cases, sizeof cases / sizeof cases[0]);
}
