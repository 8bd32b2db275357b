/*
 * Credentials of functions' roles, kept between cold starts: making a session is a durable write,
 * which a cold start need not pay when a session of the same function has hours to live. A kept one
 * is looked up again before it is given, so that a role that was deleted or made anew is noticed.
 *
 * Threading: any loop; the table has a lock, never held over a suspension. At most
 * CREDENTIALS_KEPT_MAX are kept; beyond it sessions are made each time.
 */
#ifndef SERVICES_LAMBDA_CREDENTIALS_H
#define SERVICES_LAMBDA_CREDENTIALS_H

#include "services/lambda/function.h"

enum { CREDENTIALS_KEPT_MAX = 4096 };

struct credentials;
struct ports;

struct credentials_values {
	str access_key, secret_key;
	str session_token; /* STR_NULL: none */
};

struct credentials *credentials_new(struct ports *ports);
void credentials_free(struct credentials *c);
/*
 * Values in the arena, good for at least an instance's life. ERR_NOT_FOUND: IAM does not know the
 * role (or is not there).
 */
must_use int credentials_get(struct credentials *c, struct arena *a, const struct function *f,
	struct credentials_values *ret_values) mayyield;

#endif
