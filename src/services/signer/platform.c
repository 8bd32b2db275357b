/*
 * ListSigningPlatforms, GetSigningPlatform: AWSLambda-SHA384-ECDSA alone; and SignPayload, which
 * that platform does not take.
 *
 * Id and display name are those of the Developer Guide, "Create a Signer signing profile". Not
 * confirmed: the other members of the platform, and the words of all refusals. Category, partner
 * and image format are left out: what the API Reference names there does not fit Lambda's.
 */
#include "services/signer/platform.h"
#include "services/signer/service.h"

#define TARGET STR("SHA384-ECDSA")

bool platform_is_elsewhere(str id)
{
	static const char *const ids[] = {"AWSIoTDeviceManagement-SHA256-ECDSA",
		"AmazonFreeRTOS-Default", "AmazonFreeRTOS-TI-CC3220SF",
		"Notation-OCI-SHA384-ECDSA"};

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		if (str_eq(id, str_c(ids[i])))
			return true;
	return false;
}

static void put_options(struct value *v, const char *member, const char *only)
{
	struct value *options = value_put_struct(v, member);

	value_add_str(value_put_list(options, "allowedValues"), str_c(only));
	value_put_str(options, "defaultValue", str_c(only));
}

static void render(struct value *v)
{
	struct value *configuration;

	value_put_str(v, "platformId", PLATFORM_ID);
	value_put_str(v, "displayName", PLATFORM_DISPLAY);
	value_put_str(v, "target", TARGET);
	configuration = value_put_struct(v, "signingConfiguration");
	put_options(configuration, "encryptionAlgorithmOptions", "ECDSA");
	put_options(configuration, "hashAlgorithmOptions", "SHA384");
	value_put_int(v, "maxSizeInMB", SIGNER_ARCHIVE_BYTES_MAX >> 20);
	value_put_bool(v, "revocationSupported", true);
}

int signer_list_platforms(struct call *c)
{
	struct signer_page page;
	struct value *list = value_put_list(c->out, "platforms");
	str target = value_str(c->in, "target");

	TRY(signer_page(c, &page));
	if (page.after.p)
		return SIGNER_FAULT(c, VALIDATION, "The nextToken is not valid.");
	if (value_has(c->in, "category") || value_has(c->in, "partner") ||
		(target.p && !str_eq(target, TARGET)))
		return 0;
	render(value_add_struct(list));
	return 0;
}

int signer_get_platform(struct call *c)
{
	str id = value_str(c->in, "platformId");

	if (!str_eq(id, PLATFORM_ID))
		return SIGNER_FAULT(c, NOT_FOUND, "The signing platform %.*s does not exist%s.",
			STR_ARG(id), platform_is_elsewhere(id) ? " on this server" : "");
	render(c->out);
	return 0;
}

int signer_sign_payload(struct call *c)
{
	return SIGNER_FAULT(c, VALIDATION,
		"SignPayload is not supported for profiles of the platform %s; "
		"StartSigningJob signs for it.",
		STATEMENT_PLATFORM);
}
