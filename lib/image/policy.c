#include "image/policy.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"

bool policy_has_protocol(const char *name)
{
	size_t colon = strcspn(name, ":/");

	return name[colon] == ':';
}

char *policy_combine(const char *holder, const char *name)
{
	const char *slash = strrchr(holder, '/');
	size_t directory = name[0] == '/' || !slash ? 0 : (size_t)(slash - holder) + 1;
	size_t n = strlen(name);
	char *path = malloc(directory + n + 1);

	if (!path)
		return NULL;
	memcpy(path, holder, directory);
	memcpy(path + directory, name, n + 1);
	return path;
}

int policy_resolve(const char *holder, const char *name, const char *instead, char **path,
		   struct err *e)
{
	char shown[256];

	text_escape(name, strlen(name), shown, sizeof shown);
	if (!*name)
		return err_set(e, ERR_INVALID, "the name stored in the image is empty");
	if (policy_has_protocol(name))
		return err_set(e, ERR_INVALID,
			       "the name '%s' begins with a protocol, which is not followed in "
			       "names that images hold%s%s",
			       shown, instead ? "; " : "", instead ? instead : "");
	*path = policy_combine(holder, name);
	return *path ? 0 : err_nomem(e);
}
