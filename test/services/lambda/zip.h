/*
 * Zip archives for tests: stored entries, made in memory.
 */
#ifndef TEST_SERVICES_LAMBDA_ZIP_H
#define TEST_SERVICES_LAMBDA_ZIP_H

#include "base/arena.h"

struct zip_entry {
	str name, content;
	unsigned mode; /* 0755, 0644 */
};

str zip_make(struct arena *a, const struct zip_entry *entries, size_t n);

#endif
