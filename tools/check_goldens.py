#!/usr/bin/env python3
"""Compares the coordinator with recorded results of a reference, model by model.

    tools/check_goldens.py DATA [--real MODEL.gguf] [--only NAME] [--forced]
    tools/check_goldens.py DATA --rounding [--only NAME] [--reference PROGRAM --prompts 100]

DATA has models/*.gguf and goldens/NAME.{ref,deqf32}.json: per case `prompt_ids`, the greedy
`gen_ids`, `top5_per_step`, and the file of the logits at the last prompt position (f32,
little-endian). `deqf32` goldens have exact weights and activations and are compared with
--activations f32; `ref` goldens of quantized models round activations and are compared with int8.

Printed for each model and mode: cases whose tokens are all equal, the largest difference of a
first-step logit, and the centred rms (standard deviation of the difference), as mean over cases.
--forced feeds the golden's own tokens and counts other choices where the golden's margin was over
0.8.

--rounding tells how far rounding the activations moves the logits of each quantized model, ours
and the reference's, from the exact ones: ours with f32 activations, since `deqf32` and `ref`
goldens have different prompts. The caches are F32, as the reference's was. What rounding does to
one prompt of a small model is a matter of luck; --reference takes random prompts instead, as many
as are told, or those of the `deqf32` goldens for 0, and asks the program that
tools/reference_logits makes.
"""

import argparse
import array
import glob
import json
import math
import os
import random
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
COORDINATOR = os.path.join(ROOT, "bazel-bin", "coordinator", "coordinator")
F32_CACHE = ["--cache-type", "f32"]
EXACT = ["--activations", "f32", *F32_CACHE]
INT8 = ["--activations", "int8"]
# A choice is the golden's to make where its best token led by more than this.
CLEAR_MARGIN = 0.8
PROMPT_SIZES = [1, 3, 7, 15, 40, 100]  # of random prompts


def read_floats(path):
    values = array.array("f")
    with open(path, "rb") as file:
        values.frombytes(file.read())
    if sys.byteorder == "big":
        values.byteswap()
    return values


def distance(one, other):
    """(largest difference, standard deviation of the difference)"""
    differences = [a - b for a, b in zip(one, other)]
    mean = math.fsum(differences) / len(differences)
    centred = math.fsum((d - mean) ** 2 for d in differences) / len(differences)
    return max(abs(d) for d in differences), math.sqrt(centred)


class Failed(Exception):
    pass


def run(model, ids, count, options):
    """(generated ids, logits of the first step)"""
    with tempfile.TemporaryDirectory() as directory:
        logits = os.path.join(directory, "logits")
        done = subprocess.run(
            [COORDINATOR, "--model", model, "--ids", ",".join(map(str, ids)), "-n", str(count),
             "--temp", "0", "--ignore-eos", "--json", "--logits", logits, *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise Failed((done.stderr.strip().splitlines() or ["no message"])[-1])
        rows = read_floats(logits)
        return json.loads(done.stdout)["ids"], rows[:len(rows) // count]


def forced_choices(model, case, options):
    """(steps with a clear margin, those of them where another token was chosen)"""
    golden, at = case["gen_ids"], 0
    clear, wrong = 0, 0
    while at < len(golden):
        # A free run is a forced one up to and including the first other choice.
        ids, _ = run(model, case["prompt_ids"] + golden[:at], len(golden) - at, options)
        for step, chosen in zip(range(at, len(golden)), ids):
            best, second = case["top5_per_step"][step][:2]
            is_clear = best[1] - second[1] > CLEAR_MARGIN
            clear += is_clear
            if chosen != golden[step]:
                wrong += is_clear
                break
        at = step + 1
    return clear, wrong


def check(model, goldens_folder, golden_name, options, arguments):
    """One line of the table."""
    with open(os.path.join(goldens_folder, golden_name)) as file:
        golden = json.load(file)
    equal, largest, rms, clear, wrong = 0, 0.0, [], 0, 0
    for case in golden["cases"]:
        ids, logits = run(model, case["prompt_ids"], len(case["gen_ids"]),
                          options + arguments.options)
        expected = read_floats(os.path.join(goldens_folder, case["first_logits_file"]))
        if len(expected) != len(logits):
            raise Failed(f"{len(logits)} logits, expected {len(expected)}")
        equal += ids == case["gen_ids"]
        most, centred = distance(logits, expected)
        largest = max(largest, most)
        rms.append(centred)
        if arguments.forced:
            case_clear, case_wrong = forced_choices(model, case, options + arguments.options)
            clear, wrong = clear + case_clear, wrong + case_wrong
    line = (f"{equal}/{len(golden['cases'])} equal   max {largest:9.3g}   "
            f"rms {sum(rms) / len(rms):8.3g}")
    if arguments.forced:
        line += f"   forced {wrong}/{clear} other"
    return line, equal, len(golden["cases"])


def golden_cases(goldens_folder, name, variant):
    with open(os.path.join(goldens_folder, f"{name}.{variant}.json")) as file:
        return json.load(file)["cases"]


def golden_prompts(goldens_folder, name):
    """(prompt, the reference's logits) of each case."""
    return [(case["prompt_ids"],
             read_floats(os.path.join(goldens_folder, case["first_logits_file"])))
            for case in golden_cases(goldens_folder, name, "ref")]


def random_prompts(count, vocabulary):
    source = random.Random(1)
    return [[source.randrange(3, vocabulary) for _ in range(source.choice(PROMPT_SIZES))]
            for _ in range(count)]


def ask_reference(program, model, prompts):
    """(prompt, the reference's logits) of each."""
    lines = "".join(" ".join(map(str, prompt)) + "\n" for prompt in prompts)
    done = subprocess.run([program, model, "1"], input=lines, stdout=subprocess.PIPE, text=True,
                          check=True)
    return [(prompt, result["logits"]) for prompt, result in zip(prompts, json.loads(done.stdout))]


def rms(values):
    return math.sqrt(sum(value * value for value in values) / len(values))


def rounding_line(name, distances):
    """One line of that table, from (ours, the reference's) distances of each prompt; whether ours
    are no larger."""
    ours, reference = ([pair[i] for pair in distances] for i in range(2))
    own, other = rms([d[1] for d in ours]), rms([d[1] for d in reference])
    line = (f"{name:24} {len(distances):7} {own:8.4f} {other:9.4f} {own / other:7.3f}"
            f" {max(d[0] for d in ours):8.3f} {max(d[0] for d in reference):9.3f}")
    return line, own <= other


def check_rounding(models, goldens_folder, arguments):
    """Prints the table; whether no model is further off than the reference's."""
    print(f"{'':24} {'':7} {'rms':>8} {'':9} {'':7} {'largest':>8}")
    print(f"{'model':24} {'prompts':>7} {'ours':>8} {'reference':>9} {'ratio':>7} {'ours':>8}"
          f" {'reference':>9}")
    everything, all_closer = [], True
    for model in models:
        name = os.path.basename(model).removesuffix(".gguf")
        variant = "deqf32" if arguments.reference and not arguments.prompts else "ref"
        if name.endswith("f32") or not os.path.exists(
                os.path.join(goldens_folder, f"{name}.{variant}.json")):
            continue
        prompts = golden_prompts(goldens_folder, name)
        if arguments.reference:
            asked = (random_prompts(arguments.prompts, len(prompts[0][1]))
                     if arguments.prompts else
                     [case["prompt_ids"] for case in golden_cases(goldens_folder, name, variant)])
            prompts = ask_reference(arguments.reference, model, asked)
        distances = []
        for prompt, reference in prompts:
            exact, ours = (run(model, prompt, 1, options + arguments.options)[1]
                           for options in (EXACT, INT8 + F32_CACHE))
            distances.append((distance(ours, exact), distance(reference, exact)))
        line, closer = rounding_line(name, distances)
        print(line, flush=True)
        all_closer &= closer
        everything += distances
    print(rounding_line("all", everything)[0])
    return all_closer


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--real", metavar="MODEL", help="a model kept elsewhere than DATA/models")
    parser.add_argument("--only", default="", help="names that have this in them")
    parser.add_argument("--forced", action="store_true", help="also feed the golden's own tokens")
    parser.add_argument("--rounding", action="store_true",
                        help="what rounding activations does, beside the reference's own")
    parser.add_argument("--reference", metavar="PROGRAM",
                        help="with --rounding: ask this reference_logits instead of goldens")
    parser.add_argument("--prompts", type=int, default=100,
                        help="with --reference: so many; 0: those of the deqf32 goldens")
    parser.add_argument("options", nargs="*", help="after --: further flags of the coordinator")
    arguments = parser.parse_intermixed_args()

    models = sorted(glob.glob(os.path.join(arguments.data, "models", "*.gguf")))
    if arguments.real:
        models.append(arguments.real)
    models = [model for model in models if arguments.only in os.path.basename(model)]
    goldens_folder = os.path.join(arguments.data, "goldens")
    if arguments.rounding:
        return 0 if check_rounding(models, goldens_folder, arguments) else 1
    all_equal = True
    for model in models:
        name = os.path.basename(model).removesuffix(".gguf")
        variants = [v for v in ("ref", "deqf32")
                    if os.path.exists(os.path.join(goldens_folder, f"{name}.{v}.json"))]
        for variant in variants:
            # Without a deqf32 golden the reference of an F32 model is the exact one.
            runs = []
            if variant == "deqf32" or name.endswith("f32"):
                runs.append(("exact", EXACT))
            if name.endswith("f32") is False:
                runs.append(("int8", INT8))
            for mode, options in runs:
                label = f"{name:34} {variant:6} {mode:5}"
                try:
                    line, equal, count = check(model, goldens_folder, f"{name}.{variant}.json",
                                               options, arguments)
                except Failed as failure:
                    line, equal, count = f"failed: {failure}", 0, 1
                if mode == "exact":
                    all_equal &= equal == count
                print(label, line, flush=True)
    return 0 if all_equal else 1


sys.exit(main())
