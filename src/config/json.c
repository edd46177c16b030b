#include "json.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tandem/check.h"
#include "tandem/mem.h"

/* The last character before a position that is no white space; 0 when there is none. */
static char character_before(const char *text, const char *position)
{
    while (position > text && isspace((unsigned char)position[-1]))
        position--;
    return position > text ? position[-1] : '\0';
}

/* What the user may have meant; cJSON only says where it gave up. */
static void append_reason(const char *text, const char *position, struct text *message)
{
    char here = position[0];
    char before = character_before(text, position);
    if (here == '\0')
        text_append(message, "the text ends too early (a '}', ']' or value is missing)");
    else if ((here == '}' || here == ']') && before == ',')
        text_append(message, "unexpected '%c' (remove the comma before it)", here);
    else if (here == '/' || here == '#')
        text_append(message, "unexpected '%c' (JSON has no comments)", here);
    else if (here == '\'')
        text_append(message, "unexpected ' (strings need double quotes)");
    else if (here == '"' && before != '\0' && strchr("{[,:", before))
        text_append(message, "a string without an end, or with a bad escape");
    else if (here == '"')
        text_append(message, "unexpected '\"' (a comma or colon is missing before it)");
    else if (isalpha((unsigned char)here))
        text_append(message, "unexpected '%.*s' (only true, false and null stand without double quotes)",
                    (int)strcspn(position, " \t\r\n,:]}"), position);
    else if ((unsigned char)here < ' ')
        text_append(message, "unexpected character 0x%02x", (unsigned)here);
    else
        text_append(message, "unexpected '%c'", here);
}

static bool syntax_error(const char *text, const char *position, const char *reason, struct error *error)
{
    size_t line = 1;
    const char *line_start = text;
    for (const char *p = text; p < position; p++)
        if (*p == '\n') {
            line++;
            line_start = p + 1;
        }
    struct text message = {0};
    text_append(&message, "line %zu, column %zu: ", line, (size_t)(position - line_start) + 1);
    if (reason)
        text_append(&message, "%s", reason);
    else
        append_reason(text, position, &message);
    error_set(error, "%s", text_string(&message));
    text_clear(&message);
    return false;
}

/* cJSON stops one character late when a key does not start with a quote, and inside of a string without an
 * end. */
static const char *true_position(const char *text, const char *position)
{
    if (position == text || isspace((unsigned char)position[-1]))
        return position;
    char before = character_before(text, position - 1);
    bool key_expected = before == '{' || before == ',';
    return key_expected || position[-1] == '"' ? position - 1 : position;
}

static enum node_type type_of(const cJSON *item)
{
    if (cJSON_IsBool(item))
        return NODE_BOOL;
    if (cJSON_IsNumber(item))
        return NODE_NUMBER;
    if (cJSON_IsString(item))
        return NODE_STRING;
    if (cJSON_IsArray(item))
        return NODE_ARRAY;
    if (cJSON_IsObject(item))
        return NODE_OBJECT;
    return NODE_NULL;
}

static struct node *from_cjson(const cJSON *item, const struct source *source)
{
    struct node *node = tree_create(type_of(item), source);
    node->boolean = cJSON_IsTrue(item);
    if (node->type == NODE_NUMBER)
        node->number = item->valuedouble;
    if (node->type == NODE_STRING)
        node->string = mem_string(item->valuestring);
    for (const cJSON *child = item->child; child; child = child->next)
        tree_append(node, from_cjson(child, source), node->type == NODE_OBJECT ? child->string : NULL);
    return node;
}

bool json_parse(const char *text, size_t count, const struct source *source, struct node **root,
                struct error *error)
{
    if (strlen(text) != count)
        return syntax_error(text, text + strlen(text), "a NUL byte (no JSON text)", error);
    if (count == 0)
        return error_set(error, "line 1, column 1: the text is empty");
    const char *end = text;
    cJSON *parsed = cJSON_ParseWithLengthOpts(text, count + 1, &end, false);
    if (!parsed)
        return syntax_error(text, true_position(text, end), NULL, error);
    while (isspace((unsigned char)*end))
        end++;
    if (*end != '\0') {
        cJSON_Delete(parsed);
        return syntax_error(text, end, "text after the end of the value", error);
    }
    *root = from_cjson(parsed, source);
    cJSON_Delete(parsed);
    return true;
}

bool json_check(const struct node *node, struct error *error)
{
    if (node->type == NODE_NUMBER && !isfinite(node->number))
        return node_error(node, error, "the number is too large");
    for (size_t i = 0; i < node->size; i++) {
        const struct node *child = node->children[i];
        if (child->key && tree_get(node, child->key) != child)
            return node_error(child, error, "duplicate key");
        if (!json_check(child, error))
            return false;
    }
    return true;
}

/* The shortest text that gives the same double; integers as integers. cJSON's own is off by up to one ulp. */
static cJSON *number_to_cjson(double number)
{
    char digits[40];
    if (number == rint(number) && fabs(number) <= 0x1p53) {
        snprintf(digits, sizeof digits, "%.0f", number);
        return cJSON_CreateRaw(digits);
    }
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, number);
        if (strtod(digits, NULL) == number)
            break;
    }
    return cJSON_CreateRaw(digits);
}

static cJSON *to_cjson(const struct node *node)
{
    switch (node->type) {
    case NODE_NULL:
        return cJSON_CreateNull();
    case NODE_BOOL:
        return cJSON_CreateBool(node->boolean);
    case NODE_NUMBER:
        return number_to_cjson(node->number);
    case NODE_STRING:
        return cJSON_CreateString(node->string);
    case NODE_ARRAY:
        return cJSON_CreateArray();
    case NODE_OBJECT:
        break;
    }
    return cJSON_CreateObject();
}

static bool is_named(const char *key, const char *const *names)
{
    for (size_t i = 0; key && names && names[i]; i++)
        if (strcmp(key, names[i]) == 0)
            return true;
    return false;
}

static cJSON *tree_to_cjson(const struct node *node, const char *const *skip)
{
    cJSON *item = to_cjson(node);
    CHECK(item, "out of memory");
    for (size_t i = 0; i < node->size; i++) {
        const struct node *child = node->children[i];
        if (is_named(child->key, skip))
            continue;
        cJSON *child_item = tree_to_cjson(child, NULL);
        if (child->key)
            cJSON_AddItemToObject(item, child->key, child_item);
        else
            cJSON_AddItemToArray(item, child_item);
    }
    return item;
}

void json_print(const struct node *node, bool indented, const char *const *skip, struct text *text)
{
    cJSON *item = tree_to_cjson(node, skip);
    char *printed = indented ? cJSON_Print(item) : cJSON_PrintUnformatted(item);
    CHECK(printed, "out of memory");
    text_append(text, "%s", printed);
    cJSON_free(printed);
    cJSON_Delete(item);
}

void node_print(const struct node *node, struct text *text)
{
    json_print(node, false, NULL, text);
}
