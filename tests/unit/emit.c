#include "check.h"

#include <stdlib.h>
#include <string.h>

#include "out/emit.h"

static char *printed;
static size_t printed_n;

static struct emit begin(bool json)
{
	return emit_over(open_memstream(&printed, &printed_n), json);
}

/* Whether the output is `text`; frees it. */
static bool is(struct emit *e, const char *text)
{
	fclose(e->to);
	bool same = strcmp(printed, text) == 0;

	if (!same)
		printf("# printed:\n%s\n", printed);
	free(printed);
	return same;
}

static void everything(struct emit *e)
{
	emit_begin(e, NULL, NULL);
	emit_string(e, "name", "the name", "x");
	emit_integer(e, "program", NULL, 1);
	emit_integer(e, NULL, "person", 2);
	emit_size(e, "size", "virtual size", 67108864);
	emit_short_size(e, "used", "disk size", 200704);
	emit_begin(e, "part", "Part");
	emit_bool(e, "yes", "yes", true);
	emit_begin_list(e, "list", "list");
	emit_string(e, NULL, NULL, "one");
	emit_begin(e, NULL, NULL);
	emit_bool(e, "no", "no", false);
	emit_end(e);
	emit_end(e);
	emit_begin_list(e, "empty", "empty");
	emit_end(e);
	emit_end(e);
	emit_line(e, "%d lines", 1);
	emit_begin_list(e, "hidden", NULL);
	emit_begin(e, NULL, "Node");
	emit_integer(e, "n", "n", 3);
	emit_end(e);
	emit_end(e);
	emit_end(e);
}

static void text_is_labels_and_indentation(void)
{
	struct emit e = begin(false);

	everything(&e);
	CHECK(is(&e, "the name: x\n"
		     "person: 2\n"
		     "virtual size: 64 MiB (67108864 bytes)\n"
		     "disk size: 196 KiB\n"
		     "Part:\n"
		     "    yes: true\n"
		     "    list:\n"
		     "        [0]: one\n"
		     "        [1]:\n"
		     "            no: false\n"
		     "    empty:\n"
		     "1 lines\n"
		     "Node:\n"
		     "    n: 3\n"));
}

static void json_is_one_document(void)
{
	struct emit e = begin(true);

	everything(&e);
	CHECK(is(&e, "{\n"
		     "    \"name\": \"x\",\n"
		     "    \"program\": 1,\n"
		     "    \"size\": 67108864,\n"
		     "    \"used\": 200704,\n"
		     "    \"part\": {\n"
		     "        \"yes\": true,\n"
		     "        \"list\": [\n"
		     "            \"one\",\n"
		     "            {\n"
		     "                \"no\": false\n"
		     "            }\n"
		     "        ],\n"
		     "        \"empty\": []\n"
		     "    },\n"
		     "    \"hidden\": [\n"
		     "        {\n"
		     "            \"n\": 3\n"
		     "        }\n"
		     "    ]\n"
		     "}\n"));
}

static bool json_string_is(const char *text, size_t n, const char *want)
{
	struct emit e = begin(true);

	emit_json_string(e.to, text, n);
	return is(&e, want);
}

static void json_strings_are_ascii(void)
{
	CHECK(json_string_is("", 0, "\"\""));
	CHECK(json_string_is("a\"b\\c/", 6, "\"a\\\"b\\\\c/\""));
	CHECK(json_string_is("\b\f\n\r\t", 5, "\"\\b\\f\\n\\r\\t\""));
	CHECK(json_string_is("\0\x1f\x7f", 3, "\"\\u0000\\u001F\\u007F\""));
	CHECK(json_string_is("\xc3\xa4\xe2\x82\xac", 5, "\"\\u00E4\\u20AC\""));
	CHECK(json_string_is("\xf0\x9f\x98\x80", 4, "\"\\uD83D\\uDE00\""));
}

static void what_is_not_utf8_is_replaced_byte_by_byte(void)
{
	CHECK(json_string_is("\xff\xfe", 2, "\"\\uFFFD\\uFFFD\""));
	CHECK(json_string_is("\xc3", 1, "\"\\uFFFD\""));
	CHECK(json_string_is("\xc0\xaf", 2, "\"\\uFFFD\\uFFFD\""));
	CHECK(json_string_is("\xed\xa0\x80", 3, "\"\\uFFFD\\uFFFD\\uFFFD\""));
	CHECK(json_string_is("a\xf0\x9f\x98", 4, "\"a\\uFFFD\\uFFFD\\uFFFD\""));
}

static void terminals_get_escaped_text(void)
{
	struct emit e = begin(false);

	e.escape = true;
	emit_string(&e, "name", "name", "a\033[2Jb\xc3\xa4\xff");
	CHECK(is(&e, "name: a\\x1b[2Jb\xc3\xa4\\xff\n"));
	e = begin(false);
	emit_string(&e, "name", "name", "a\033[2J");
	CHECK(is(&e, "name: a\033[2J\n"));
}

int main(void)
{
	RUN(text_is_labels_and_indentation);
	RUN(json_is_one_document);
	RUN(json_strings_are_ascii);
	RUN(what_is_not_utf8_is_replaced_byte_by_byte);
	RUN(terminals_get_escaped_text);
	return DONE();
}
