/* Tables that are all there at once, into a file of their own. */
#include "tandem/output.h"

#include "h5.h"

bool output_write_tables(const char *folder, const char *name, const struct output_table *tables,
                         size_t count, const char *configuration, struct error *error)
{
    struct file file;
    struct h5 h5;
    file_begin(&file, folder, name);
    h5_begin(&h5, &file, 1);
    h5_int_attribute(&h5, h5.file, "schema_version", OUTPUT_SCHEMA_VERSION);
    h5_text_attribute(&h5, h5.file, "tandem_version", TANDEM_VERSION);
    h5_text_attribute(&h5, h5.file, "configuration", configuration);
    for (size_t i = 0; i < count; i++) {
        const struct output_table *table = &tables[i];
        hid_t group = h5_top_group(&h5, "", table->columns->group, table->columns->doc);
        if (table->scalar)
            h5_scalars(&h5, group, table->columns, table->rows);
        else
            h5_table(&h5, group, table->columns, table->rows, table->row_bytes, table->count, false);
        h5_close_group(&h5, group);
    }
    return h5_finish(&h5, &file, error);
}
