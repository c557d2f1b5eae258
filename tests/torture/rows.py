"""The rows: fault, promise with its pass mark, what shows it whole, and the tests that show it small."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """One promise."""

    fault: str
    mark: str
    """What must be found for the promise to be kept."""
    runs: str
    """``file:function`` beside this one; ``function(place)`` gives the verdict."""
    minutes: float
    """After which it counts as hung."""
    quick: tuple[str, ...] = ()
    """Tests of the suite that hold it in a small form: file below tests/, ``::`` and a name where needed."""


ROWS: dict[str, Row] = {
    "R1": Row(
        "kill -9 in training",
        "resume continues bit for bit: 20 SIGKILLs at random moments, also inside a save, 2 "
        "loader workers, augmentation on: SHA-256 of model and optimiser as undisturbed",
        "kills:run",
        45,
        (
            "end_to_end/test_resume.py::test_killed_and_resumed",
            "engine/test_resume.py",
            "test_files.py::test_a_killed_writer_leaves_the_old_file_and_one_more_that_the_next_takes_over",
        ),
    ),
    "R2": Row(
        "a process of several dies",
        "torchrun starts it again to the same result: 2 processes (gloo), 5 SIGKILLs: exit code "
        "0, equal SHA-256",
        "worker_kills:run",
        40,
        ("distributed/test_restarts.py",),
    ),
    "R3": Row(
        "disk full or failing in a save",
        "the checkpoint before still loads, one line, no stray file, exit code 5: ENOSPC on a "
        "small disk, EIO at write, fsync and replace",
        "disk:run",
        40,
        (
            "test_files.py::test_full_disk",
            "test_files.py::test_a_disk_that_fails",
            "test_files.py::test_adding_to_a_full_disk",
            "engine/test_saving.py::test_failing_disk_leaves_the_previous_state",
            "engine/test_logs.py::test_a_curve_that_cannot_be_written_is_named",
            "engine/test_resume.py::test_a_full_disk_does_not_hide_what_ended_the_run",
            "distributed/test_endings.py::test_a_full_disk_of_the_first_process_ends_all",
        ),
    ),
    "R4": Row(
        "a damaged checkpoint",
        "refused by name, and the state before is taken: 200 random flips and cuts, 200 found, 0 tracebacks",
        "flips:run",
        45,
        (
            "engine/test_saving.py::test_every_flipped_bit_and_every_cut_is_noticed",
            "engine/test_saving.py::test_a_damaged_state_never_takes_the_place_of_the_whole_one",
            "checkpoint/test_format.py::test_every_flipped_bit_is_seen",
            "checkpoint/test_format.py::test_every_truncation_is_seen",
            "end_to_end/test_resume.py::test_damaged_resume_state",
        ),
    ),
    "R5": Row(
        "loss or gradient not finite",
        "step left out and counted; after 10 in a row the end, with the pictures' names and the "
        "batch kept: injected at steps 7, 8 and 10 in a row, weights always finite, exit code 6",
        "nonfinite:run",
        45,
        (
            "engine/test_guard.py",
            "distributed/test_guard.py",
            "diagnosis/health/test_run.py",
        ),
    ),
    "R6": Row(
        "SIGTERM, SIGINT in training",
        "saved and ended with 143, 130 within 10 s, and gone on from bit for bit: all of 10 or more",
        "signals:run",
        45,
        (
            "engine/test_resume.py::test_stopped_and_resumed_is_bit_exact",
            "end_to_end/test_resume.py::test_stopped_by_a_signal_and_resumed",
            "end_to_end/test_bad_input.py::test_a_signal_outside_training",
            "test_interruption.py",
            "data/test_loader.py::test_a_sigterm_to_every_process_leaves_the_workers_a_while",
        ),
    ),
    "R7": Row(
        "damaged pictures",
        "no crash, each named, no file rewritten: 10,000 mutants of 5 formats, 0 signals, none "
        "over 2 s, < 500 MB",
        "pictures:run",
        60,
        (
            "data/test_decode.py",
            "data/test_loader.py::test_unreadable_pictures_are_replaced_and_reported_once",
            "verbs/test_predict.py::test_strict_does_the_others_and_then_fails",
        ),
    ),
    "R8": Row(
        "bad labels",
        "all faults in one pass, each with its place, no traceback: 5,000 damaged COCO, VOC, YOLO "
        "and CSV files, 0 crashes, every file named",
        "labels:run",
        60,
        (
            "data/test_coco.py::test_any_json_gives_records_or_one_line",
            "data/test_voc.py::test_damaged_xml_gives_records_or_one_line",
            "data/test_yolo.py::test_damaged_files_give_records_or_one_line",
            "data/test_csv_table.py::test_damaged_files_give_records_or_one_line",
        ),
    ),
    "R9": Row(
        "a wrong metric",
        "equal to pycocotools: 1,000 random cases, difference 0 in all 12; without predictions "
        "0.0; a score of NaN refused",
        "metric:run",
        20,
        (
            "oracles/test_pycocotools.py",
            "metrics/test_coco.py::test_no_detections_score_zero",
            "metrics/test_coco.py::test_a_network_that_diverged_is_named_with_its_picture",
        ),
    ),
    "R10": Row(
        "drift in export",
        "the same detections everywhere: torch, ONNX Runtime, OpenVINO, browser; 50 pictures, "
        "batches of 1, 3, 8, 2 sizes, within the tolerance of docs/export.md; int8: change of AP "
        "printed, at most 0.5 points down",
        "drift:run",
        60,
        (
            "export/test_parity.py",
            "runtime/test_backends.py::test_openvino_runs_in_float32_unless_asked",
            "web/test_browser_engine.py",
        ),
    ),
    "R11": Row(
        "a Ray worker dies, damaged pictures",
        "each picture once in the output: 500 pictures, 10 damaged, 5 SIGKILLs: 500 rows, 0 "
        "doubles, 10 errors, 490 as locally",
        "ray_kills:run",
        40,
        (
            "cluster/test_job.py::test_a_worker_is_killed_and_every_picture_comes_once",
            "cluster/test_job.py::test_the_watchdog",
        ),
    ),
    "S1": Row(
        "overload",
        "bounded queue, 503 with Retry-After: 200 clients x 20, only 200 and 503, 0 lost, < 100 MB more",
        "serving:overload",
        20,
        (
            "serve/test_torture.py::test_s1_x3_s6_overload_then_everybody_at_once_then_stop",
            "serve/test_gate.py::test_pictures",
        ),
    ),
    "S2": Row(
        "huge bodies",
        "413 while counting: 200 MB and endless chunks, < 1 s, < 30 MB more",
        "serving:huge_bodies",
        20,
        (
            "serve/test_torture.py::test_s2_huge_bodies_are_refused_while_they_come",
            "serve/test_gate.py::test_bytes",
        ),
    ),
    "S3": Row(
        "slow clients",
        "ended after the deadline: 100 slow sockets for 60 s, p99 of another client < 2x",
        "serving:slow_clients",
        20,
        (
            "serve/test_torture.py::test_s3_slow_clients_are_ended_and_keep_nobody_out",
            "serve/test_gate.py::test_who_holds_room_the_longest_gives_way",
            "serve/test_gate.py::test_a_body_that_is_waited_for_gives_way_at_once",
        ),
    ),
    "S4": Row(
        "pixel bombs, odd formats",
        "413 or 415: 400 megapixels, FITS, GD, PSD, animated GIF, TIFF of 10,000 pages, < 200 MB, < 0.2 s",
        "serving:odd_pictures",
        20,
        ("serve/test_torture.py::test_s4_bombs_and_odd_formats",),
    ),
    "S5": Row(
        "a decoding process dies",
        "only its requests fail: killed 10 times under load",
        "serving:killed_decoders",
        20,
        (
            "serve/test_torture.py::test_s5_killed_decoders_cost_their_own_request_alone",
            "serve/test_served.py::test_decoding_processes",
        ),
    ),
    "S6": Row(
        "SIGTERM under load",
        "50 of 50 requests in flight finish, new ones refused, no process left, within 10 s, port free",
        "serving:stop_under_load",
        20,
        (
            "serve/test_torture.py::test_s1_x3_s6_overload_then_everybody_at_once_then_stop",
            "serve/test_served.py::test_they_end_with_a_server_that_is_killed",
        ),
    ),
    "S7": Row(
        "addresses in requests",
        "the server calls nobody: 0 outgoing sockets",
        "serving:addresses",
        20,
        ("serve/test_torture.py::test_s7_no_address_is_followed",),
    ),
    "S8": Row(
        "malicious checkpoints",
        "safetensors or weights_only=True, nothing else: 5 pickles refused by every command that "
        "takes a model; no loader that runs code in the sources",
        "hostile_models:checkpoints",
        20,
        (
            "convert/test_loaders.py",
            "convert/test_bad_files.py",
            "end_to_end/test_bad_input.py::test_bad_checkpoint",
        ),
    ),
    "S9": Row(
        "malicious ONNX and YAML",
        "no external data, size cap, aliases capped, no class paths: all refused in < 0.5 s",
        "hostile_reading:onnx_and_yaml",
        30,
        (
            "export/test_reading.py",
            "config/test_load.py",
            "diagnosis/report/test_gather.py::test_a_configuration_that_is_a_bomb_counts_as_missing",
        ),
    ),
    "S10": Row(
        "paths that lead outside",
        "nothing read or written outside the data's folder: 30 cases",
        "outside:run",
        20,
        (
            "data/test_layout.py::test_labels_that_are_links_out_are_not_read",
            "data/test_layout.py::test_pictures_behind_a_link_out_are_not_read",
            "data/test_layout.py::test_a_split_list_that_is_a_link_out_is_not_read",
            "data/test_yolo.py::test_a_list_of_classes_outside_is_not_read",
            "data/test_yolo.py::test_pictures_and_labels_outside_are_not_read",
            "data/test_csv_table.py::test_nothing_outside_the_folder_is_read",
        ),
    ),
    "S11": Row(
        "XML entities",
        "XXE, billion laughs, DTD, more than 5 MB: refused by name",
        "entities:run",
        10,
        ("data/test_voc.py::test_broken_xml_leaves_its_picture_out",),
    ),
    "S12": Row(
        "script injection in page and report",
        "hostile names of files and classes in a real browser: 0 dialogs, 0 requests to others",
        "injection:run",
        30,
        (
            "web/test_page.py::test_hostile_names_run_nothing_and_widen_nothing",
            "browser/test_report_page.py::test_nothing_runs_nothing_is_fetched_nothing_overflows",
            "verbs/test_doctor.py::test_the_page_runs_nothing_and_loads_nothing",
            "web/test_files.py::test_the_policy_lets_in_the_page_alone",
            "serve/test_server.py::test_page_and_its_policy",
        ),
    ),
    "S13": Row(
        "formulas in CSV",
        "a leading = + - @ is quoted: 10 names",
        "formulas:run",
        10,
        (
            "data/test_csv_cell.py",
            "runtime/test_formats.py::test_the_table_reads_as_labels_of_the_same_names",
            "runtime/test_formats.py::test_names_that_a_spreadsheet_would_run",
        ),
    ),
    "S14": Row(
        "supply chain",
        "exact pins without addresses, no unwanted package, every licence known",
        "supply:run",
        10,
        (
            "test_supply_chain.py",
            "test_licences.py",
        ),
    ),
    "S15": Row(
        "Ray open to others",
        "listens on this machine alone, no dashboard, nothing reported to its makers",
        "ray_sockets:run",
        10,
        (
            "cluster/test_job.py::test_rays_word_for_this_machine_opens_no_door_either",
            "cluster/test_job.py::test_a_worker_is_killed_and_every_picture_comes_once",
        ),
    ),
    "S16": Row(
        "no network",
        "the test suite passes without one",
        "offline:run",
        90,
        ("test_offline.py",),
    ),
    "X1": Row(
        "two processes against one",
        "the same global batches: 12 steps, weights within 1e-12 of one process in float64, 1e-4 "
        "of the way in float32",
        "one_and_two:run",
        20,
        ("distributed/test_training.py",),
    ),
    "X2": Row(
        "requests from the server's own OpenAPI",
        "schemathesis, every endpoint: no 5xx that is not promised, every answer as the schema says",
        "fuzz:run",
        30,
        ("serve/test_clients.py::test_schemathesis_from_our_own_document",),
    ),
    "X3": Row(
        "half an hour of mixed load",
        "good, broken, huge and slow requests together: memory level, no file handle or process "
        "gained, only promised answers",
        "mixed_load:run",
        45,
        ("serve/test_torture.py::test_s1_x3_s6_overload_then_everybody_at_once_then_stop",),
    ),
}
