/*
 * The objects port (aws/ports/objects.h), on the code of the operations.
 */
#ifndef SERVICES_S3_PORT_H
#define SERVICES_S3_PORT_H

struct s3;

/* Fills s3->port. */
void s3_port_init(struct s3 *s3);

#endif
