/* The front door: finds the sibling that does the work and becomes it. Links nothing of the
 * engine. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/diagnostics.h"
#include "cmd/signals.h"
#include "config.h"

/* One physical line each in the help: scripts look for the word and the options there. */
static const struct subcommand {
	const char *name, *synopsis;
} subcommands[] = {
#define COMMON "[-v] [--object DEF]"
#define IMAGE "[-f FMT | --image-opts]"
	{ "create", "[-f FMT] [-o LIST]... [-b BACKING [-F|-B BACKING_FMT]] [-u] [-q] "
		    "[--no-clobber] " COMMON " filename [size]" },
	{ "info", IMAGE " [--backing-chain] [--limits] [-t CACHE] [-U] [--output=human|json] "
		  COMMON " filename" },
	{ "check",
	  IMAGE " [-r leaks|all] [-T CACHE] [-U] [-q] [--output=human|json] [--details] [--deep] "
		"[--max-errors=N] [--dry-run | --undo UNDO] [--free-suspects] [--drop-snapshots] "
		"[--reattach[=guess]] [--attach INDEX=OFFSET]... [--undo-apply UNDO] "
		"[--rebuild-header [--size SIZE] [--apply]] " COMMON " filename" },
	{ "convert",
	  "[-f FMT | --image-opts] [-T CACHE] [-l SNAPSHOT] [--bitmaps "
	  "[--skip-broken-bitmaps]] [--salvage] [-O FMT | --target-image-opts] [-o LIST] "
	  "[-t CACHE] [-B BACKING [-F FMT]] [-S SIZE] [-n [--target-is-zero]] [-c] "
	  "[--level N] [-U] [-r RATE] [-m N] [-W] [-C] [-p] [-q] " COMMON
	  " filename [filename2 [...]] output_filename" },
	{ "snapshot", IMAGE " [-l | -a SNAP | -c NAME | -d SNAP] [-U] [-q] " COMMON
			    " filename" },
	{ "bitmap", "(--merge SOURCE | --add | --remove | --clear | --enable | --disable)... "
		    "[-b SOURCE_FILE [-F FMT]] [-g SIZE] " IMAGE " [-U] " COMMON
		    " filename bitmap" },
	{ "amend", "-o LIST " IMAGE " [-t CACHE] [--force] [-p] [-q] " COMMON " filename" },
	{ "map", IMAGE " [-s OFFSET] [-l LENGTH] [--output=human|json] [-U] " COMMON
		       " filename" },
	{ "measure", "[-O FMT] [-o LIST] [--output=human|json] [--size N | " IMAGE
		     " [-l SNAPSHOT] [-U] filename] " COMMON },
	{ "resize", IMAGE " [--preallocation=MODE] [--shrink] [-q] " COMMON
			  " filename [+|-]size" },
	{ "rebase", IMAGE " [-t CACHE] [-T CACHE] [-u] [-c] [-U] [-p] [-q] "
			  "[--dry-run] " COMMON " -b BACKING [-F|-B FMT] filename" },
	{ "commit", IMAGE " [-t CACHE] [-b BASE] [-d] [-r RATE] [-p] [-q] " COMMON
			  " filename" },
	{ "compare", "[-f FMT] [-F FMT] [--image-opts] [-s] [-T CACHE] [-U] [-p] [-q] " COMMON
		     " filename1 filename2" },
	{ "dd", IMAGE " [-O FMT] [-U] " COMMON " [bs=N] [count=N] [skip=N] if=input of=output" },
};
#define SUBCOMMANDS_NR (sizeof subcommands / sizeof *subcommands)

static const struct subcommand *subcommand_find(const char *name)
{
	for (size_t i = 0; i < SUBCOMMANDS_NR; i++)
		if (strcmp(subcommands[i].name, name) == 0)
			return &subcommands[i];
	return NULL;
}

/* Whether `path` can be run and is not this very program: a link named qcow2-NAME that leads
 * back here would run in circles. */
static bool is_sibling(const char *path)
{
	struct stat self, other;

	if (stat(path, &other) < 0 || !S_ISREG(other.st_mode) || access(path, X_OK) < 0)
		return false;
	return stat("/proc/self/exe", &self) < 0 || self.st_dev != other.st_dev ||
	       self.st_ino != other.st_ino;
}

/* Beside our own executable first, so that a build tree works without installation. */
static bool sibling_path(const char *name, char path[PATH_MAX])
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

	if (n > 0) {
		self[n] = 0;
		*strrchr(self, '/') = 0;
		if (snprintf(path, PATH_MAX, "%s/qcow2-%s", self, name) < PATH_MAX &&
		    is_sibling(path))
			return true;
	}
	return snprintf(path, PATH_MAX, "%s/qcow2-%s", QCOW2_BINDIR, name) < PATH_MAX &&
	       is_sibling(path);
}

static int hint(void)
{
	cmd_complain("Try '%s --help' for more information.", cmd_program());
	return 1;
}

static int subcommand_run(const char *name, char **argv)
{
	const struct subcommand *s = subcommand_find(name);
	char path[PATH_MAX];

	if (strcmp(name, "bench") == 0) {
		cmd_error("'bench' is not supported by this build");
		return 1;
	}
	if (!s) {
		cmd_error("unknown subcommand '%s'", name);
		return hint();
	}
	if (!sibling_path(name, path)) {
		cmd_error("'%s' is not available in this release of qcow2-tools", name);
		return 1;
	}
	argv[0] = (char *)cmd_program(); /* diagnostics begin with what the user typed */
	execv(path, argv);
	cmd_error("cannot run '%s': %s", path, strerror(errno));
	return 1;
}

static void print_version(void)
{
	if (strcmp(cmd_program(), "qemu-img") == 0)
		printf("qemu-img version %s (qcow2-tools %s)\n", QCOW2_EMULATED_VERSION,
		       QCOW2_VERSION);
	else
		cmd_print_version();
}

static void print_help(void)
{
	char path[PATH_MAX];

	printf("Usage: %s [-h] [-V] [-T SPEC] SUBCOMMAND ...\n"
	       "Make, inspect, copy and check disk images.\n\n"
	       "  -h, --help        show this help, or with a SUBCOMMAND before it, its help\n"
	       "  -V, --version     show the version\n"
	       "  -T, --trace SPEC  accepted and ignored\n\n"
	       "Subcommands:\n",
	       cmd_program());
	for (size_t i = 0; i < SUBCOMMANDS_NR; i++)
		printf("  %s %s%s\n", subcommands[i].name, subcommands[i].synopsis,
		       sibling_path(subcommands[i].name, path) ? "" : "  (not in this release)");
	printf("\nSupported formats: qcow2 raw\n");
}

static int help_for(int argc, char **argv)
{
	if (argc > 2) {
		cmd_error("help takes one subcommand, not '%s' as well", argv[2]);
		return hint();
	}
	if (argc == 2) {
		char *words[] = { argv[0], (char *)"--help", NULL };

		return subcommand_run(argv[1], words);
	}
	print_help();
	return !cmd_stdout_ok();
}

static void trace(const char *spec)
{
	if (strcmp(spec, "help") == 0 || strcmp(spec, "?") == 0)
		cmd_warn("this build has no trace points; --trace is ignored");
}

/* Called by a name such as qcow2-info: that is the subcommand. */
static const char *subcommand_of_name(void)
{
	const char *name = cmd_program();

	if (strncmp(name, "qcow2-", 6) != 0 || !subcommand_find(name + 6))
		return NULL;
	return name + 6;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ "trace", required_argument, NULL, 'T' },
		{ 0 },
	};
	int letter;

	cmd_set_program(argc > 0 ? argv[0] : NULL);
	signals_become_errors();
	signals_ignore_requests();
	if (subcommand_of_name())
		return subcommand_run(subcommand_of_name(), argv);
	opterr = 0;
	while ((letter = getopt_long(argc, argv, "+:hVT:", options, NULL)) != -1)
		switch (letter) {
		case 'h':
			print_help();
			return !cmd_stdout_ok();
		case 'V':
			print_version();
			return !cmd_stdout_ok();
		case 'T':
			trace(optarg);
			break;
		default:
			cmd_error(letter == ':' ? "option '%s' needs an argument"
						: "unknown option '%s'",
				  argv[optind - 1]);
			return hint();
		}
	if (optind >= argc) {
		cmd_error("which subcommand?");
		return hint();
	}
	if (strcmp(argv[optind], "help") == 0)
		return help_for(argc - optind, argv + optind);
	return subcommand_run(argv[optind], argv + optind);
}
