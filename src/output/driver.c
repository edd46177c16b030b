#include "driver.h"

#include "tandem/mem.h"

/* What the list of access properties holds; HDF5 copies it. */
struct driver_info {
    struct file *file;
};

/* An open file as HDF5 has it. Begins as every driver's has to. */
struct driver {
    H5FD_t base;
    struct file *file;
    haddr_t allocated; /* "end of allocation": what HDF5 has given out */
    haddr_t length;    /* "end of file": what was written */
};

static H5FD_t *driver_open(const char *name, unsigned flags, hid_t access, haddr_t most)
{
    const struct driver_info *info = H5Pget_driver_info(access);
    struct driver *driver = mem_array(1, sizeof *driver);
    (void)name;
    (void)flags;
    (void)most;
    driver->file = info->file;
    return &driver->base;
}

static herr_t driver_close(H5FD_t *base)
{
    mem_free(base);
    return 0;
}

/* As HDF5's own driver for plain files says: it then writes metadata in larger pieces. */
static herr_t driver_query(const H5FD_t *base, unsigned long *flags)
{
    (void)base;
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
             H5FD_FEAT_AGGREGATE_SMALLDATA;
    return 0;
}

static haddr_t driver_allocated(const H5FD_t *base, H5FD_mem_t type)
{
    (void)type;
    return ((const struct driver *)base)->allocated;
}

static herr_t driver_allocate(H5FD_t *base, H5FD_mem_t type, haddr_t address)
{
    (void)type;
    ((struct driver *)base)->allocated = address;
    return 0;
}

static haddr_t driver_length(const H5FD_t *base, H5FD_mem_t type)
{
    (void)type;
    return ((const struct driver *)base)->length;
}

static herr_t driver_read(H5FD_t *base, H5FD_mem_t type, hid_t transfer, haddr_t address, size_t count,
                          void *bytes)
{
    (void)type;
    (void)transfer;
    file_get(((const struct driver *)base)->file, address, bytes, count);
    return 0;
}

static herr_t driver_write(H5FD_t *base, H5FD_mem_t type, hid_t transfer, haddr_t address, size_t count,
                           const void *bytes)
{
    struct driver *driver = (struct driver *)base;
    (void)type;
    (void)transfer;
    file_put(driver->file, address, bytes, count);
    if (address + count > driver->length)
        driver->length = address + count;
    return 0;
}

static herr_t driver_truncate(H5FD_t *base, hid_t transfer, hbool_t closing)
{
    struct driver *driver = (struct driver *)base;
    (void)transfer;
    (void)closing;
    if (driver->length != driver->allocated)
        file_resize(driver->file, driver->allocated);
    driver->length = driver->allocated;
    return 0;
}

static const H5FD_class_t driver_class = {
    .name = "tandem",
    .maxaddr = INT64_MAX,
    .fc_degree = H5F_CLOSE_STRONG,
    .fapl_size = sizeof(struct driver_info),
    .open = driver_open,
    .close = driver_close,
    .query = driver_query,
    .get_eoa = driver_allocated,
    .set_eoa = driver_allocate,
    .get_eof = driver_length,
    .read = driver_read,
    .write = driver_write,
    .truncate = driver_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

hid_t driver_use(hid_t access, struct file *file)
{
    hid_t driver = H5FDregister(&driver_class);
    if (driver >= 0 && H5Pset_driver(access, driver, &(struct driver_info){file}) < 0) {
        H5FDunregister(driver);
        return H5I_INVALID_HID;
    }
    return driver;
}
