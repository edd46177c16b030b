/* HDF5's way to the disk: a virtual file driver over struct file. HDF5 is told that every write succeeded,
 * and the first reason why one did not is kept in the file: HDF5 itself would forget what the system said,
 * fail to close the file and complain about that when the program ends. Local. */
#ifndef TANDEM_OUTPUT_DRIVER_H
#define TANDEM_OUTPUT_DRIVER_H

#include <hdf5.h>

#include "file.h"

/* Lets files that are created with this list of access properties write into the file, which stays the
 * caller's and has to outlive the HDF5 file. Returns the driver (negative on failure), which the caller gives
 * back by H5FDunregister after H5Fclose: H5Fclose of 1.10.8 calls the driver after it gave up its own hold.
 */
hid_t driver_use(hid_t access, struct file *file);

#endif
