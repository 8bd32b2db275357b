/*
 * STS: who am I, and temporary credentials. It keeps nothing itself: roles, users and sessions are
 * behind the identity port, which iam provides.
 *
 *     sts = sts_service_new(ports);     ports->identity is set
 *     gate_register(gate, sts_service(sts));
 *     sts_service_free(sts);
 *
 * Threading: stateless; the fibers of every loop.
 * Source: https://docs.aws.amazon.com/STS/latest/APIReference/welcome.html
 */
#ifndef SERVICES_STS_STS_H
#define SERVICES_STS_STS_H

#include "aws/gate.h"

struct sts;

struct sts *sts_service_new(const struct ports *ports);
void sts_service_free(struct sts *sts);
const struct service *sts_service(const struct sts *sts);

#endif
