/*
 * CRC-32C and CRC-64/NVME in tables of eight (slicing), and joining the CRCs of parts: what S3's
 * checksums need beside the CRC-32 of hash.h.
 *
 * CRC-32C: RFC 3720 appendix B.4. CRC-64/NVME: NVM Express NVM Command Set
 * Specification, 5.2.1.3.4. All three are reflected, begin with and end by inverting; a CRC of
 * nothing is 0, so that a later call continues an earlier one's result.
 *
 * Pure; any thread. The tables are constant once made.
 */
#ifndef BASE_CRC_H
#define BASE_CRC_H

#include "base/str.h"

struct crc_tables {
	uint64_t nvme[8][256];
	uint32_t c[8][256];
};

void crc_tables_init(struct crc_tables *t);
uint32_t crc32c_add(const struct crc_tables *t, uint32_t crc, str data);
uint64_t crc64nvme_add(const struct crc_tables *t, uint64_t crc, str data);
/* The CRC of two parts behind one another, from that of each and the second one's length. */
uint32_t crc32_join(uint32_t first, uint32_t second, uint64_t second_bytes);
uint32_t crc32c_join(uint32_t first, uint32_t second, uint64_t second_bytes);
uint64_t crc64nvme_join(uint64_t first, uint64_t second, uint64_t second_bytes);

#endif
