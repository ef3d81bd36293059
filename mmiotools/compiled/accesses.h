/* What accesses.c and taking.c share. */
#ifndef MMIOTOOLS_ACCESSES_H
#define MMIOTOOLS_ACCESSES_H

#include "speed.h"

/* The hash of an access, `identity` being that of its region: one finaliser over a sum, as in trace/hashing.py. */
static inline uint64_t
hash_of(uint64_t identity, uint8_t op, int16_t width, uint64_t offset, uint64_t value, int has_value)
{
    uint16_t shape = (uint16_t)((op << 10) + (uint16_t)width);
    uint64_t sum = identity + offset * 0x9E3779B97F4A7C15u + shape * 0xC2B2AE3D27D4EB4Fu + value * 0xD6E8FEB86659FD93u;
    sum += has_value ? 0 : 0xA0761D6478BD642Fu;
    sum = (sum ^ sum >> 30) * 0xBF58476D1CE4E5B9u;
    sum = (sum ^ sum >> 27) * 0x94D049BB133111EBu;
    return sum ^ sum >> 31;
}

#endif
