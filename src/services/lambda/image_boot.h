/*
 * What a container of an image is started with: its layers as the root, its program, its variables.
 */
#ifndef SERVICES_LAMBDA_IMAGE_BOOT_H
#define SERVICES_LAMBDA_IMAGE_BOOT_H

#include "services/lambda/environment.h"
#include "services/lambda/service.h"

struct code_pin;

/*
 * Starts one, whose standard output and error are pipe 0. *ret_pins (image_let_go()) keep its
 * layers, after an error too. ERR_INVALID: nothing in it says what to run, see `error`; others as
 * sandbox_start().
 */
must_use int image_start(struct lambda_service *s, struct arena *a, const struct function *f,
	const struct environment_facts *facts, const struct sandbox_limits *limits,
	int64_t deadline, struct code_pin ***ret_pins, struct sandbox_container **ret_container,
	struct sandbox_error *error) mayyield;
/* NULL is fine. */
void image_let_go(
	struct lambda_service *s, const struct function *f, struct code_pin **pins) mayyield;

#endif
