#pragma once
/* The rounds of a model test, in a directory of their own.
 *
 * MODEL_ROUNDS: how many (a few seconds by default). MODEL_SEED: where to begin; the seed of a round
 * that fails is printed, and the files of that round stay. MODEL_LAYOUT: a name in model_layouts.h,
 * or "each"; else all of them take their turn, and others. MODEL_REFERENCE=1: other tools change the images in between and
 * look at them, too. */
#include <unistd.h>

#include "check.h"
#include "model_layouts.h"

static char model_place[256];
static bool ask_reference;

static inline bool shell(const char *command)
{
	return system(command) == 0;
}

static inline uint64_t number_from(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

/* encrypted: such layouts, too. */
static inline void model_rounds(bool (*one)(struct err *e), uint64_t usual, bool encrypted)
{
	uint64_t first = number_from("MODEL_SEED", 1), nr = number_from("MODEL_ROUNDS", usual);

	for (uint64_t i = first; i < first + nr; i++) {
		struct err e = ERR_INIT;

		model_layout_choose(i, encrypted);
		model_seed = i * UINT64_C(0x9e3779b97f4a7c15);
		CHECK(one(&e));
		if (check_failed) {
			printf("# MODEL_SEED=%llu, layout %s: %s; files are in %s\n",
			       (unsigned long long)i, model_layout ? model_layout->name : "any",
			       e.text, model_place);
			return;
		}
		CHECK(shell("rm -f -- *"));
	}
}

static inline bool model_begin(void)
{
	const char *dir = getenv("TMPDIR");

	snprintf(model_place, sizeof model_place, "%s/qcow2-model-XXXXXX", dir ? dir : "/tmp");
	ask_reference = number_from("MODEL_REFERENCE", 0) != 0;
	return mkdtemp(model_place) && chdir(model_place) == 0;
}

static inline int model_end(void)
{
	rmdir(model_place); /* it stays while something is in it */
	return DONE();
}

/* How others are told of an image of ours, whatever its layout. */
static inline const char *reference_name(const struct create_options *o, const char *path)
{
	static char name[256];
	static const char *const formats[] = { [CRYPT_AES] = "aes", [CRYPT_LUKS] = "luks" };

	if (!o->encryption.method)
		snprintf(name, sizeof name, "--image-opts driver=qcow2,file.filename=%s", path);
	else
		snprintf(name, sizeof name,
			 "--object secret,id=k,data=secret --image-opts driver=qcow2,"
			 "encrypt.format=%s,encrypt.key-secret=k,file.filename=%s",
			 formats[o->encryption.method], path);
	return name;
}

/* What others find in the image. */
static inline bool reference_is_content(const struct create_options *o, const char *path)
{
	char command[512];

	snprintf(command, sizeof command, "qemu-img check -q %s", reference_name(o, path));
	return shell(command);
}
