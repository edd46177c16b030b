/* /requests: in order whatever the order in which rows come, sampled, packed in every way, read back with
 * HDF5; and what must not happen. */
#include "unit/output/support.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

#include "tandem/rng.h"
#include "unit/base/child.h"

#define REQUESTS   5000
#define CHUNK_ROWS 600 /* eight chunks and a part */

static struct row rows[REQUESTS];

/* Rows in order. prefill_ns is noise in all its bytes, which does not deflate; stalled_ns is constant. */
static void make_rows(void)
{
    memset(rows, 0, sizeof rows);
    for (size_t i = 0; i < REQUESTS; i++)
        rows[i] = (struct row){.id = i,
                               .arrival_ns = (int64_t)(i * i),
                               .prompt_tokens = (uint32_t)(i % 977),
                               .prefill_ns = (int64_t)rng_bits(3, 1, RNG_ROUTER, i),
                               .stalled_ns = -2,
                               .decode_instance = i % 2 ? -1 : 70000,
                               .preemptions = (uint32_t)i,
                               .status = i % 100 == 99};
}

static void shuffle_rows(void)
{
    for (size_t i = REQUESTS; i > 1; i--) {
        size_t other = rng_bits(3, 2, RNG_ROUTER, i) % i;
        struct row row = rows[i - 1];
        rows[i - 1] = rows[other];
        rows[other] = row;
    }
}

static struct output *open_output(uint64_t requests, uint64_t one_in, int compression)
{
    struct output_config config = {folder, requests, one_in, compression, CHUNK_ROWS};
    return output_open(MPI_COMM_SELF, &config);
}

static void close_output(struct output *output)
{
    struct results results = {0};
    struct error error = {0};
    CU_ASSERT_FATAL(output_close(output, &results, "{}", &error));
    CU_ASSERT(!exists("results.h5.tmp"));
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

/* Writes the rows that belong into the file, in batches of that many (0: all at once). */
static void write_rows(uint64_t one_in, int compression, size_t batch)
{
    static struct row kept[REQUESTS];
    size_t count = 0;
    for (size_t i = 0; i < REQUESTS; i++)
        if (rows[i].id % one_in == 0)
            kept[count++] = rows[i];
    struct output *output = open_output(REQUESTS, one_in, compression);
    for (size_t done = 0; done < count; done += batch ? batch : count) {
        size_t left = count - done;
        CU_ASSERT_FATAL(output_rows(output, kept + done, batch && batch < left ? batch : left));
    }
    close_output(output);
}

/* Checks that the columns of the file hold those of the rows that belong there. */
static void check_values(uint64_t one_in)
{
    static int64_t arrivals[REQUESTS], prefills[REQUESTS], stalls[REQUESTS];
    static int32_t decoders[REQUESTS];
    static uint32_t prompts[REQUESTS], preemptions[REQUESTS];
    static uint8_t statuses[REQUESTS];
    make_rows();
    hid_t file = H5Fopen(path_of("results.h5"), H5F_ACC_RDONLY, H5P_DEFAULT);
    CU_ASSERT_FATAL(file >= 0);
    CU_ASSERT_EQUAL(int_attribute(file, "/requests", "one_in"), (int64_t)one_in);
    hid_t dataset = H5Dopen2(file, "/requests/arrival_ns", H5P_DEFAULT), space = H5Dget_space(dataset);
    CU_ASSERT_EQUAL_FATAL(H5Sget_simple_extent_npoints(space), (int64_t)((REQUESTS - 1) / one_in + 1));
    H5Sclose(space);
    H5Dclose(dataset);
    read_all(file, "/requests/arrival_ns", H5T_NATIVE_INT64, arrivals);
    read_all(file, "/requests/prefill_ns", H5T_NATIVE_INT64, prefills);
    read_all(file, "/requests/stalled_ns", H5T_NATIVE_INT64, stalls);
    read_all(file, "/requests/decode_instance", H5T_NATIVE_INT32, decoders);
    read_all(file, "/requests/prompt_tokens", H5T_NATIVE_UINT32, prompts);
    read_all(file, "/requests/preemptions", H5T_NATIVE_UINT32, preemptions);
    read_all(file, "/requests/status", H5T_NATIVE_UINT8, statuses);
    bool same = true;
    for (uint64_t i = 0, id = 0; id < REQUESTS; i++, id += one_in) {
        const struct row *row = &rows[id];
        same &= arrivals[i] == row->arrival_ns && prefills[i] == row->prefill_ns &&
                stalls[i] == row->stalled_ns && decoders[i] == row->decode_instance &&
                prompts[i] == row->prompt_tokens && preemptions[i] == row->preemptions &&
                statuses[i] == row->status;
    }
    CU_ASSERT(same);
    H5Fclose(file);
}

static void values_come_back_at_every_level(void)
{
    const int levels[] = {0, 1, 2, 6, 9};
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        make_rows();
        write_rows(1, levels[i], 0);
        check_values(1);
    }
}

static void samples_have_the_right_rows(void)
{
    const uint64_t one_in[] = {2, 7, 625, 4999, 5000, 1000000};
    for (size_t i = 0; i < sizeof one_in / sizeof one_in[0]; i++) {
        make_rows();
        shuffle_rows();
        write_rows(one_in[i], 1, 0);
        check_values(one_in[i]);
    }
}

static void order_and_batches_do_not_matter(void)
{
    const size_t batches[] = {0, 1, 599, 600, 1300, 0};
    size_t counts[2];
    char *expected = NULL;
    make_rows();
    for (size_t i = 0; i < sizeof batches / sizeof batches[0]; i++) {
        write_rows(1, 1, batches[i]);
        char *bytes = slurp("results.h5", &counts[i > 0]);
        if (i == 0) {
            expected = bytes;
            continue;
        }
        CU_ASSERT(counts[0] == counts[1] && memcmp(bytes, expected, counts[0]) == 0);
        free(bytes);
        if (i == 3)
            shuffle_rows();
    }
    free(expected);
    check_values(1);
}

/* Filter mask and bytes of a chunk of a column. */
static unsigned mask_of(const char *column, hsize_t chunk, hsize_t *bytes)
{
    hid_t file = H5Fopen(path_of("results.h5"), H5F_ACC_RDONLY, H5P_DEFAULT);
    hid_t dataset = H5Dopen2(file, column, H5P_DEFAULT), space = H5Dget_space(dataset);
    hsize_t offset = 1;
    haddr_t address;
    unsigned mask = 99;
    CU_ASSERT(H5Dget_chunk_info(dataset, space, chunk, &offset, &mask, &address, bytes) >= 0);
    CU_ASSERT_EQUAL(offset, chunk * CHUNK_ROWS);
    H5Sclose(space);
    H5Dclose(dataset);
    H5Fclose(file);
    return mask;
}

static void what_does_not_shrink_is_not_deflated(void)
{
    hsize_t bytes;
    make_rows();
    write_rows(1, 1, 0);
    CU_ASSERT_EQUAL(mask_of("/requests/prefill_ns", 2, &bytes), 2); /* the second filter is skipped */
    CU_ASSERT_EQUAL(bytes, CHUNK_ROWS * 8);
    CU_ASSERT_EQUAL(mask_of("/requests/stalled_ns", 2, &bytes), 0);
    CU_ASSERT(bytes < CHUNK_ROWS / 2);
    CU_ASSERT_EQUAL(mask_of("/requests/prefill_ns", 8, &bytes), 0); /* most of the last is padding */
    CU_ASSERT(bytes > 200 * 8 && bytes < 250 * 8);
}

static void nothing_is_deflated_at_level_0(void)
{
    hsize_t bytes;
    make_rows();
    write_rows(1, 0, 0);
    CU_ASSERT_EQUAL(mask_of("/requests/stalled_ns", 8, &bytes), 0);
    CU_ASSERT_EQUAL(bytes, CHUNK_ROWS * 8);
    hid_t file = H5Fopen(path_of("results.h5"), H5F_ACC_RDONLY, H5P_DEFAULT);
    hid_t dataset = H5Dopen2(file, "/requests/status", H5P_DEFAULT), creation = H5Dget_create_plist(dataset);
    CU_ASSERT_EQUAL(H5Pget_nfilters(creation), 0);
    H5Pclose(creation);
    H5Dclose(dataset);
    H5Fclose(file);
}

static void no_requests_no_rows(void)
{
    struct output *output = open_output(0, 1, 1);
    CU_ASSERT(output_rows(output, NULL, 0));
    close_output(output);
    hid_t file = H5Fopen(path_of("results.h5"), H5F_ACC_RDONLY, H5P_DEFAULT);
    CU_ASSERT(H5Lexists(file, "/requests/status", H5P_DEFAULT) > 0);
    H5Fclose(file);
}

/* What is held depends on the span of unfinished requests and not on their number. */
static void memory_is_given_back(void)
{
    make_rows();
    struct output *output = open_output(REQUESTS, 1, 1);
    CU_ASSERT(output_rows(output, rows, CHUNK_ROWS - 1));
    size_t begin = mem_live_bytes();
    CU_ASSERT(output_rows(output, rows + CHUNK_ROWS - 1, 7 * CHUNK_ROWS));
    CU_ASSERT_EQUAL(mem_live_bytes(), begin);
    CU_ASSERT(output_rows(output, rows + 8 * CHUNK_ROWS, REQUESTS - 8 * CHUNK_ROWS)); /* all but one */
    CU_ASSERT(mem_live_bytes() > begin);
    CU_ASSERT(output_rows(output, rows + 8 * CHUNK_ROWS - 1, 1));
    CU_ASSERT(mem_live_bytes() < begin);
    close_output(output);
}

static void an_unfinished_file_can_be_given_up(void)
{
    struct error error = {0};
    unlink(path_of("results.h5"));
    make_rows();
    struct output *output = open_output(REQUESTS, 1, 1);
    CU_ASSERT(output_rows(output, rows, 1000));
    CU_ASSERT(!exists("results.h5"));
    output_abandon(output, &error);
    CU_ASSERT(!exists("results.h5.tmp"));
    CU_ASSERT(!exists("results.h5"));
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

/* The disk is full when some chunks are written: that is said at once, and why when the file is given up. */
static void a_disk_that_fills_up_ends_the_rows(void)
{
    struct error error = {0};
    struct rlimit limit, small;
    unlink(path_of("results.h5"));
    getrlimit(RLIMIT_FSIZE, &limit);
    small = limit;
    small.rlim_cur = 400000; /* room for two chunks, not for four */
    signal(SIGXFSZ, SIG_IGN);
    make_rows();
    struct output *output = open_output(REQUESTS, 1, 0);
    setrlimit(RLIMIT_FSIZE, &small);
    CU_ASSERT(output_rows(output, rows, 2 * CHUNK_ROWS));
    CU_ASSERT(!output_rows(output, rows + 2 * CHUNK_ROWS, 2 * CHUNK_ROWS));
    CU_ASSERT(!output_rows(output, rows + 4 * CHUNK_ROWS, 1));
    setrlimit(RLIMIT_FSIZE, &limit); /* what is lost is lost */
    CU_ASSERT(!output_rows(output, rows + 4 * CHUNK_ROWS + 1, REQUESTS - 4 * CHUNK_ROWS - 1));
    output_abandon(output, &error);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "results.h5.tmp: cannot write: "));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, strerror(EFBIG)));
    CU_ASSERT(!exists("results.h5") && !exists("results.h5.tmp"));
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

/* Each in a child process, which starts MPI: rows that nothing but a mistake of the simulator can bring. */
static struct output *in_child(uint64_t one_in)
{
    MPI_Init(NULL, NULL);
    make_rows();
    return open_output(REQUESTS, one_in, 1);
}

static void twice_at_once(void)
{
    struct output *output = in_child(1);
    rows[1] = rows[0];
    output_rows(output, rows, 2);
}

static void twice_when_written(void)
{
    struct output *output = in_child(1);
    output_rows(output, rows, CHUNK_ROWS);
    output_rows(output, rows + 5, 1);
}

static void never(void)
{
    struct results results = {0};
    struct error error = {0};
    struct output *output = in_child(1);
    output_rows(output, rows, 1300);
    output_rows(output, rows + 1301, REQUESTS - 1301);
    output_close(output, &results, "{}", &error);
}

static void beyond_the_last(void)
{
    struct output *output = in_child(1);
    rows[0].id = REQUESTS;
    output_rows(output, rows, 1);
}

static void not_of_the_sample(void)
{
    struct output *output = in_child(7);
    output_rows(output, rows + 13, 1);
}

static void mistakes_abort(void)
{
    const struct {
        void (*run)(void);
        const char *says;
    } mistakes[] = {{twice_at_once, "request 0 has two rows"},
                    {twice_when_written, "request 5 has two rows"},
                    {never, "requests from 1200 on have no rows"},
                    {beyond_the_last, "request 5000 has a row that is not expected"},
                    {not_of_the_sample, "request 13 has a row that is not expected"}};
    for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
        struct child child = child_run(mistakes[i].run);
        CU_ASSERT(child.aborted);
        CU_ASSERT_PTR_NOT_NULL(strstr(child.output, mistakes[i].says));
    }
    unlink(path_of("results.h5.tmp")); /* theirs */
}

int main(void)
{
    const struct test_case first[] = {{"mistakes abort", mistakes_abort}};
    const struct test_case cases[] = {
        {"values come back at every level", values_come_back_at_every_level},
        {"samples have the right rows", samples_have_the_right_rows},
        {"order and batches do not matter", order_and_batches_do_not_matter},
        {"what does not shrink is not deflated", what_does_not_shrink_is_not_deflated},
        {"nothing is deflated at level 0", nothing_is_deflated_at_level_0},
        {"no requests, no rows", no_requests_no_rows},
        {"memory is given back", memory_is_given_back},
        {"an unfinished file can be given up", an_unfinished_file_can_be_given_up},
        {"a disk that fills up ends the rows", a_disk_that_fills_up_ends_the_rows},
    };
    if (!folder_make())
        return 1;
    int code = test_main("output/rows, mistakes", first, 1); /* before MPI starts in this process */
    MPI_Init(NULL, NULL);
    code |= test_main("output/rows", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    unlink(path_of("results.h5"));
    return folder_remove(code);
}
