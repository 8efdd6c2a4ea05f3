/* The main function for compilers without libFuzzer: feeds the files named on the command
 * line to the target, so that seeds and former finds are tests everywhere. */
#include "fuzz.h"

static int replay(const char *path)
{
	FILE *f = fopen(path, "rb");
	long size;
	uint8_t *data;

	if (!f || fseek(f, 0, SEEK_END) < 0 || (size = ftell(f)) < 0) {
		perror(path);
		return 1;
	}
	rewind(f);
	data = malloc(size ? (size_t)size : 1); /* a sanitizer guards the very next byte */
	if (!data || fread(data, 1, (size_t)size, f) != (size_t)size) {
		perror(path);
		return 1;
	}
	if (fclose(f))
		perror(path);
	LLVMFuzzerTestOneInput(data, (size_t)size);
	free(data);
	return 0;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (argv[i][0] == '-') {
			fprintf(stderr, "%s: only replays files; build with clang to fuzz\n",
				argv[0]);
			return 2;
		}
		if (replay(argv[i]))
			return 1;
	}
	return 0;
}
