/* The tables of a report of memory: one list for JSON and HDF5. */
#ifndef TANDEM_SIM_FOOTPRINT_COLUMNS_H
#define TANDEM_SIM_FOOTPRINT_COLUMNS_H

#include "tandem/footprint.h"
#include "tandem/output.h"

#define FOOTPRINT_TABLES 7

/* Values of the columns that say whether something fits. */
extern const char *const footprint_yes_no[];

/* Fills the tables that the report has; returns how many. The rows stay the report's. */
size_t footprint_tables(const struct footprint_report *report, struct output_table tables[FOOTPRINT_TABLES]);

#endif
