"""The loader: names and values as in the file, what is optional, and every kind of wrong file."""

from __future__ import annotations

import json
import unittest

import h5py
import numpy as np
from support import PAIR, Folder
from synthetic import METRICS, Synthetic, declared_columns

from tandem_analysis.load import SCHEMA_VERSION, ResultError, load, load_all


class Values(Folder):
    def test_every_declared_column_is_read(self) -> None:
        run = Synthetic(pools=PAIR, count=200)
        result = load(run.write(self.folder / "a"))
        declared = declared_columns()
        self.assertEqual(set(result.summary), set(declared["summary"]))
        self.assertEqual(list(result.pools.columns), declared["pools"])
        self.assertEqual(list(result.instances.columns), declared["instances"])
        self.assertEqual(list(result.requests().columns), declared["requests"])
        self.assertEqual(
            list(result.timeseries["decode"].columns), [*declared["timeseries"], "width_ns"]
        )
        self.assertEqual(set(result.histograms), set(METRICS))
        for name, value in run.summary.items():
            self.assertEqual(result.value(name), value, name)
        np.testing.assert_array_equal(result.requests()["ttft_ns"], run.requests["ttft_ns"])
        self.assertEqual(list(result.pools["name"]), ["prefill", "decode"])
        self.assertEqual(len(result.instances), 4)
        self.assertEqual(
            (result.name, result.cluster, result.model),
            ("unified", "unified-cluster", "llama-2-70b"),
        )
        self.assertEqual(result.checksum, run.checksum)

    def test_last_bin_is_cut_at_the_end_of_the_run(self) -> None:
        result = load(Synthetic(count=200).write(self.folder / "a"))
        series = result.timeseries["unified"]
        self.assertEqual(
            int(series["start_ns"].iloc[-1] + series["width_ns"].iloc[-1]), result.value("end_ns")
        )
        self.assertTrue((series["width_ns"].iloc[:-1] == 10**9).all())

    def test_a_folder_stands_for_its_results(self) -> None:
        path = Synthetic(count=50).write(self.folder / "a")
        self.assertEqual(load(path.parent).path, str(path))

    def test_rows_and_series_may_be_off(self) -> None:
        result = load(Synthetic(count=50, rows=False, series=False).write(self.folder / "a"))
        self.assertIsNone(result.requests())
        self.assertEqual(result.timeseries, {})

    def test_labels_differ(self) -> None:
        same = [str(Synthetic(name="x", count=50).write(self.folder / name)) for name in "ab"]
        self.assertEqual([result.label for result in load_all(same)], ["a", "b"])
        self.assertEqual(
            [result.label for result in load_all([same[0], same[0]])], ["x #1", "x #2"]
        )
        other = str(Synthetic(name="y", count=50).write(self.folder / "c"))
        self.assertEqual([result.label for result in load_all([same[0], other])], ["x", "y"])

    def test_checksum_of_the_writer_may_be_a_number(self) -> None:
        path = Synthetic(count=50).write(self.folder / "a")
        with h5py.File(path, "r+") as file:
            file.attrs["checksum"] = np.uint64(255)
        self.assertEqual(load(path).checksum, "00000000000000ff")


class Errors(Folder):
    def fails(self, path: object, *words: str) -> None:
        with self.assertRaises(ResultError) as caught:
            load(path)
        message = str(caught.exception)
        self.assertTrue(message.startswith(f"{path}: "), message)
        self.assertNotIn("\n", message)
        for word in words:
            self.assertIn(word, message)

    def test_missing(self) -> None:
        self.fails(self.folder / "none.h5", "no such file")

    def test_empty_and_not_hdf5(self) -> None:
        path = self.folder / "x.h5"
        path.write_bytes(b"")
        self.fails(path, "empty")
        path.write_text("a,b\n1,2\n")
        self.fails(path, "not an HDF5 file")

    def test_not_tandem(self) -> None:
        path = self.folder / "x.h5"
        with h5py.File(path, "w") as file:
            file["a"] = 1
        self.fails(path, "not written by Tandem")

    def test_newer_schema(self) -> None:
        path = Synthetic(count=50, schema_version=SCHEMA_VERSION + 1).write(self.folder / "a")
        self.fails(path, f"schema version {SCHEMA_VERSION + 1}", "Tandem 0.1.0")

    def test_truncated_anywhere(self) -> None:
        whole = Synthetic(count=300).write(self.folder / "a").read_bytes()
        path = self.folder / "cut.h5"
        for size in (9, 40, 100, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:size])
            self.fails(path, "repeat the run")

    def test_damaged_chunk(self) -> None:
        path = Synthetic(count=300).write(self.folder / "a")
        with h5py.File(path, "r") as file:
            chunk = file["pools/utilization"].id.get_chunk_info(0)
        data = bytearray(path.read_bytes())
        data[chunk.byte_offset : chunk.byte_offset + chunk.size] = b"\xff" * chunk.size
        path.write_bytes(data)
        self.fails(path, "damaged", "repeat the run")

    def test_damaged_header(self) -> None:
        path = Synthetic(count=300).write(self.folder / "a")
        data = bytearray(path.read_bytes())
        data[20:60] = bytes(40)
        path.write_bytes(data)
        self.fails(path, "damaged", "repeat the run")

    def test_missing_group_dataset_and_bad_configuration(self) -> None:
        for name, words in (
            ("pools", "no group /pools"),
            ("histograms/itl", "no group /histograms/itl"),
            ("histograms/itl/count", "/histograms/itl/count"),
            ("summary", "no group /summary"),
        ):
            path = Synthetic(count=50).write(self.folder / name)
            with h5py.File(path, "r+") as file:
                del file[name]
            self.fails(path, words)
        for text in ("{", json.dumps([1])):
            path = Synthetic(count=50).write(self.folder / "c")
            with h5py.File(path, "r+") as file:
                file.attrs["configuration"] = text
            self.fails(path, "configuration")

    def test_missing_scalar_is_named(self) -> None:
        path = Synthetic(count=50).write(self.folder / "a")
        with h5py.File(path, "r+") as file:
            del file["summary/gpus"]
        with self.assertRaisesRegex(ResultError, "/summary/gpus"):
            load(path).value("gpus")


if __name__ == "__main__":
    unittest.main()
