#include "tandem/hash.h"

#include <nettle/sha2.h>
#include <string.h>
#include <unistd.h>

uint64_t hash_bytes(uint64_t seed, const void *bytes, size_t count)
{
    uint64_t hash = hash_combine(seed, count);
    for (size_t at = 0; at < count; at += sizeof(uint64_t)) {
        uint64_t word = 0;
        size_t left = count - at;
        memcpy(&word, (const char *)bytes + at, left < sizeof word ? left : sizeof word);
        hash = hash_combine(hash, word);
    }
    return hash;
}

bool hash_sha256_file(int descriptor, char hex[65])
{
    static const char digits[] = "0123456789abcdef";
    struct sha256_ctx context;
    uint8_t block[1 << 14], digest[SHA256_DIGEST_SIZE];
    off_t offset = 0;
    ssize_t got = 0;
    sha256_init(&context);
    while ((got = pread(descriptor, block, sizeof block, offset)) > 0) {
        sha256_update(&context, (size_t)got, block);
        offset += got;
    }
    if (got < 0)
        return false;
    sha256_digest(&context, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[64] = '\0';
    return true;
}
