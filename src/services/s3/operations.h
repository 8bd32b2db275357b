/*
 * The handlers, by file. Contracts are the gate's: operation_handler in aws/gate.h.
 */
#ifndef SERVICES_S3_OPERATIONS_H
#define SERVICES_S3_OPERATIONS_H

#include "aws/gate.h"

#define OPERATION(name) int s3_##name(struct call *c) mayyield
/* bucket.c */
OPERATION(create_bucket);
OPERATION(head_bucket);
OPERATION(delete_bucket);
OPERATION(list_buckets);
OPERATION(get_bucket_location);
/* put.c */
OPERATION(put_object);
OPERATION(delete_object);
OPERATION(delete_objects);
/* get.c */
OPERATION(get_object);
OPERATION(head_object);
/* copy.c */
OPERATION(copy_object);
OPERATION(upload_part_copy);
/* list.c */
OPERATION(list_objects);
OPERATION(list_objects_v2);
/* multipart.c */
OPERATION(create_multipart_upload);
OPERATION(upload_part);
OPERATION(complete_multipart_upload);
OPERATION(abort_multipart_upload);
/* multipart_list.c */
OPERATION(list_parts);
OPERATION(list_multipart_uploads);
#undef OPERATION

#endif
