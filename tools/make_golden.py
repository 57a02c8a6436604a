#!/usr/bin/env python3
"""Makes a golden fixture with the original PyTorch model, or runs the original again on an existing one. tests/golden/README.md describes the format.

  tools/make_golden.py bert feature-extraction
  tools/make_golden.py bert feature-extraction --variant-name gelu_new --config '{"hidden_act": "gelu_new"}'
  tools/make_golden.py roberta fill-mask --edge --variant-name edge
  tools/make_golden.py bert feature-extraction --variant-name from_pretraining --stored-as BertForPreTraining --rename LayerNorm.weight=LayerNorm.gamma
  tools/make_golden.py sentence-transformers feature-extraction --variant-name cls --base roberta --pooling cls --dense 24:Tanh --normalize
  tools/make_golden.py llama text-generation-with-past --variant-name eager --config '{"_attn_implementation": "eager"}' --edge
  tools/make_golden.py phi3 text-generation-with-past --variant-name border --cases "15+1:0,3 12+4:0,14 0+5:0,-2,all"
  tools/make_golden.py swin feature-extraction --variant-name odd --sizes "2x14x30 1x31x17"
  tools/make_golden.py --from-fixture tests/golden/bert/*          exits with status 1 if a stored output differs

The first run installs the packages that it needs (about 6 GB) into a virtual environment:
${ONNXPORT_GOLDEN_ENV:-${XDG_CACHE_HOME:-~/.cache}/onnxport/golden-venv}. If the interpreter has them already, it installs nothing.
"""
import argparse
import copy
import importlib.metadata
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

# What the fixtures are made with. sentence-transformers is pinned below 5.2 on purpose: later versions pool differently.
PACKAGES = {"torch": "2.15.0", "transformers": "4.57.6", "sentence-transformers": "5.1.2", "safetensors": "0.8.0", "numpy": "2.4.6"}

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"


def recipe_of(model_type):
    """tests/golden/<model_type>/recipe.json: the ONNX configuration class, the inputs of the model, and a tiny configuration; {} where there is none.
    Decoders with a cache list past_key_values among their inputs, encoders of images pixel_values."""
    file = GOLDEN / model_type / "recipe.json"
    return json.loads(file.read_text()) if file.exists() else {}


def is_decoder(model_type):
    return "past_key_values" in recipe_of(model_type).get("inputs", [])


# task: (auto class, axes of each input, {output: axes}, number of labels in the tiny configuration)
TEXT, CHOICES = ("batch_size", "sequence_length"), ("batch_size", "num_choices", "sequence_length")
TASKS = {
    "feature-extraction": ("AutoModel", TEXT, {"last_hidden_state": TEXT}, 3),
    "fill-mask": ("AutoModelForMaskedLM", TEXT, {"logits": TEXT}, 3),
    "text-classification": ("AutoModelForSequenceClassification", TEXT, {"logits": TEXT[:1]}, 3),
    "token-classification": ("AutoModelForTokenClassification", TEXT, {"logits": TEXT}, 3),
    "question-answering": ("AutoModelForQuestionAnswering", TEXT, {"start_logits": TEXT, "end_logits": TEXT}, 2),
    "multiple-choice": ("AutoModelForMultipleChoice", CHOICES, {"logits": CHOICES[:2]}, 3),
}
PAST, TOTAL = "past_sequence_length", "past_sequence_length + sequence_length"
TASKS["text-generation"] = ("AutoModelForCausalLM", TEXT, {"logits": TEXT}, 3)
for _task in ("feature-extraction", "text-generation"):  # here the presents come on top
    TASKS[_task + "-with-past"] = TASKS[_task]
PIXELS = ("batch_size", "num_channels", "height", "width")
IMAGE_OUTPUTS = {"feature-extraction": {"last_hidden_state": PIXELS[:1]}, "image-classification": {"logits": PIXELS[:1]}}
TASKS["image-classification"] = ("AutoModelForImageClassification", PIXELS, IMAGE_OUTPUTS["image-classification"], 3)
SENTENCE_TASKS = ("feature-extraction", "sentence-similarity")
SENTENCE_OUTPUTS = {"token_embeddings": TEXT, "sentence_embedding": TEXT[:1]}
SENTENCE_CONFIG = "SentenceTransformersTransformerOnnxConfig"
ATOL, OPSET = 1e-5, 18

M64, GOLDEN_RATIO = (1 << 64) - 1, 0x9E3779B97F4A7C15


# ---------------------------------------------------------------------------------------------------------------- environment
def missing_packages():
    out = []
    for name, version in PACKAGES.items():
        try:
            if importlib.metadata.version(name).split("+")[0] != version:
                out.append(name)
        except importlib.metadata.PackageNotFoundError:
            out.append(name)
    return out


def ensure_environment():
    """Goes on when this interpreter has the packages, else starts again in an environment that has."""
    if not missing_packages():
        return
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    root = Path(os.environ.get("ONNXPORT_GOLDEN_ENV") or cache / "onnxport" / "golden-venv")
    python = root / ("Scripts" if os.name == "nt" else "bin") / "python"
    if Path(sys.prefix).resolve() == root.resolve():
        sys.exit(f"{root} lacks {', '.join(missing_packages())}; remove it and run again")
    done, wanted = root / "packages.json", json.dumps(PACKAGES)
    if not done.exists() or done.read_text() != wanted:
        print(f"making {root} (once)", file=sys.stderr)
        venv.create(root, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *(f"{n}=={v}" for n, v in PACKAGES.items())], check=True)
        done.write_text(wanted)
    os.execv(python, [str(python), __file__, *sys.argv[1:]])


# ---------------------------------------------------------------------------------------------------------------- numbers
def splitmix(name, count, seed):
    """24 random bits for each element of the named tensor."""
    import numpy as np

    h = 0xCBF29CE484222325
    for b in name.encode():
        h = ((h ^ b) * 0x100000001B3) & M64
    with np.errstate(over="ignore"):
        x = np.uint64(h ^ ((seed * GOLDEN_RATIO) & M64)) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(GOLDEN_RATIO)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return x >> np.uint64(40)


def synthesize(name, recipe, seed):
    import numpy as np

    u = splitmix(name, math.prod(recipe["shape"]), seed).astype(np.float64)
    mean, halfwidth = np.float64(np.float32(recipe["mean"])), np.float64(np.float32(recipe["halfwidth"]))
    return (mean + halfwidth * (u * 2.0**-23 - 1.0)).astype(np.float32).reshape(recipe["shape"])


def integers(name, shape, low, high, seed):
    """Uniform integers of [low, high)."""
    import numpy as np

    return (low + splitmix(name, math.prod(shape), seed) % np.uint64(high - low)).astype(np.int64).reshape(shape)


def six_digits(x):
    return float(f"{x:.6g}")


# ---------------------------------------------------------------------------------------------------------------- the original
def quiet():
    import torch
    import transformers

    os.environ["HF_HUB_OFFLINE"] = "1"
    transformers.logging.set_verbosity_error()
    torch.manual_seed(0)
    torch.set_num_threads(1)


def tiny_config(model_type, task, overrides, path):
    from transformers import CONFIG_MAPPING

    if path:
        values = json.loads(Path(path).read_text())
        model_type = values.pop("model_type", model_type)
    else:
        if not recipe_of(model_type):
            sys.exit(f"{model_type} has no {GOLDEN / model_type / 'recipe.json'}: write it, or give --config-file")
        values = dict(recipe_of(model_type)["config"], num_labels=TASKS[task][3])
    return CONFIG_MAPPING[model_type].from_dict(dict(values, **overrides))


def model_class(task, config):
    import transformers

    return getattr(transformers, TASKS[task][0])._model_mapping[type(config)]


def make_recipe(model, storage, stored, renames):
    """The recipe of the tensors that a checkpoint of `model` holds (`stored`: its names), and the tensors that are kept as they are."""
    import torch

    # not tables of biases
    embeddings = {n + ".weight" for n, m in model.named_modules() if isinstance(m, torch.nn.Embedding) and ("embed" in n or n.endswith(("wte", "wpe")))}
    recipe, verbatim = {}, {}
    for name, t in model.state_dict().items():
        if name not in stored:
            continue  # tied: written under its other name
        key = name
        for old, new in renames:
            key = key.replace(old, new)
        if not t.is_floating_point():
            verbatim[key] = t.contiguous()
            continue
        start = float(t.flatten()[0]) if t.ndim < 2 and t.numel() and bool((t == t.flatten()[0]).all()) else 0.0
        if t.ndim < 2:  # biases, norms and other constants vary around the value that training starts from
            mean, halfwidth = start, 0.25
        else:  # matrices keep the variance of what passes through them
            mean, halfwidth = 0.0, 0.8 if name in embeddings else math.sqrt(3 / math.prod(t.shape[1:]))
        recipe[key] = dict(dtype=storage, shape=list(t.shape), mean=six_digits(mean), halfwidth=round(halfwidth, 6))
    return dict(sorted(recipe.items())), verbatim


def write_checkpoint(folder, recipe, seed, verbatim, file="model.safetensors"):
    import torch
    from safetensors.torch import save_file

    dtype = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    tensors = {k: torch.from_numpy(synthesize(k, d, seed)).to(dtype[d["dtype"]]) for k, d in recipe.items()}
    save_file({**tensors, **verbatim}, folder / file, metadata={"format": "pt"})


def load_task_model(folder, task):
    import torch
    import transformers

    model, info = getattr(transformers, TASKS[task][0]).from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    return model.eval(), [k for k in info["missing_keys"] if "pooler" not in k or task in ("text-classification", "multiple-choice")]


def run_task_model(model, feed, names):
    import torch

    model = copy.deepcopy(model)  # swin remembers that an image was no larger than a window
    with torch.no_grad():
        out = model(**{k: torch.from_numpy(v) for k, v in feed.items()}, return_dict=True)
    return {n: out[n].numpy() for n in names}


def run_decoder_model(model, feed, names):
    """A past is given as a plain cache, which keeps everything; without one the model's own cache drops what a sliding window has left behind."""
    import torch
    from transformers import DynamicCache

    model = copy.deepcopy(model)  # dynamic rotary embeddings remember the longest input so far
    tensors = {k: torch.from_numpy(v) for k, v in feed.items()}
    presents = [n for n in names if n.startswith("present.")]
    pasts = [n for n in tensors if n.startswith("past_key_values.")]
    cache = None if not presents else DynamicCache() if pasts else DynamicCache(config=model.config)
    for i in range(len(pasts) // 2):
        cache.update(tensors.pop(f"past_key_values.{i}.key"), tensors.pop(f"past_key_values.{i}.value"), i)
    with torch.no_grad():
        out = model(**tensors, **({"past_key_values": cache, "use_cache": True} if presents else {}), return_dict=True)
    result = {n: out[n].numpy() for n in names if n not in presents}
    for name in presents:
        _, layer, part = name.split(".")
        result[name] = getattr(cache.layers[int(layer)], part + "s").numpy()
    return result


def run_sentence_model(model, feed, names):
    import torch

    with torch.no_grad():
        out = model({k: torch.from_numpy(v) for k, v in feed.items()})
    return {n: out[n].numpy() for n in names}


# ---------------------------------------------------------------------------------------------------------------- making a fixture
def masks(edge, longest):
    """One list of 0/1 rows per case."""

    def right(lengths, size):
        return [[1] * n + [0] * (size - n) for n in lengths]

    def left(lengths, size):
        return [[0] * (size - n) + [1] * n for n in lengths]

    if not edge:
        return [right([7, 5, 6], 7), right([min(16, longest)], min(16, longest))]
    return [
        right([1], 1),  # one token
        left([9, 4, 1], 9),  # padding on the left side
        right([6, 0, 3], 6),  # a row without any token
        [[1, 1, 0, 1, 0, 0, 1, 0]],  # holes
        right([longest, longest - 1], longest),  # as long as the positions reach
    ]


def decoder_cases(o):
    """-> [(length of the past, length of the input, rows)]; a row of --cases: how many positions are padded on the left, on the right (-2), both (3-2), `all`,
    `holes`; with p behind it a token in the middle has the padding's id, though the mask shows it"""
    past = o.task == "text-generation-with-past"
    text = o.cases
    if not text and o.edge and past:
        text = "0+1:0 4+3:0,5,-2 3+4:holes,all 0+5:-3,2-1"
    elif not text and o.edge:
        text = "0+1:0 0+9:5,8 0+6:-3,all,2-2 0+8:holes,holesp,0p"
    elif not text and past:
        text = "6+3:0,0 9+1:0,3,2 0+7:0,2,1"
    elif not text:
        text = "0+7:0,0 0+10:0,-3,2" if o.task in ("text-classification", "token-classification", "question-answering") else "0+7:0,0 0+10:0,3,2"
    cases = []
    for case in text.split():
        lengths, _, rows = case.partition(":")
        before, _, now = lengths.partition("+")
        cases.append((int(before), int(now), rows.split(",")))
    return cases


def mask_row(row, size):
    row = row.rstrip("p")
    if row == "all":
        return [0] * size
    if row == "holes":
        return [int(i % 3 != 1) for i in range(size)]
    left, _, right = row.partition("-")
    left, right = int(left or 0), int(right or 0)
    return [0] * left + [1] * (size - left - right) + [0] * right


def takes_position_ids(config, task):
    if task in ("text-classification", "token-classification", "question-answering") or getattr(config, "alibi", False):
        return False
    return "position_ids" in recipe_of(config.model_type)["inputs"]


def cache_sizes(config):
    """(layers, heads, elements of a head) of the cache"""
    heads = config.num_attention_heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    if config.model_type == "falcon" and not config.new_decoder_architecture:
        kv_heads = 1 if config.multi_query else heads
    return config.num_hidden_layers, kv_heads, getattr(config, "head_dim", None) or config.hidden_size // heads


def make_decoder_inputs(config, task, case, n, seed):
    import numpy as np

    before, now, rows = case
    mask = np.array([mask_row(r, before + now) for r in rows], dtype=np.int64)
    pad = config.pad_token_id if config.pad_token_id is not None else 0
    ids = np.where(mask[:, before:] == 1, integers(f"input_ids.{n}", (len(rows), now), 3, config.vocab_size, seed), pad)
    for i, row in enumerate(rows):
        if row.endswith("p"):
            ids[i, now // 2] = pad
    feed = {"input_ids": ids, "attention_mask": mask}
    if task == "text-generation-with-past":
        layers, heads, size = cache_sizes(config)
        for name in (f"past_key_values.{i}.{part}" for i in range(layers) for part in ("key", "value")):
            feed[name] = synthesize(f"{name}.{n}", dict(shape=(len(rows), heads, before, size), mean=0.0, halfwidth=1.7), seed)
    if takes_position_ids(config, task):  # as clients make them
        feed["position_ids"] = np.where(mask == 1, mask.cumsum(1) - 1, -1 if config.model_type == "opt" else 1)[:, before:]
    return feed


def decoder_axes(config, task):
    """-> ({input: axes}, {output: axes})"""
    past = task == "text-generation-with-past"
    inputs = {"input_ids": TEXT, "attention_mask": (TEXT[0], TOTAL) if past else TEXT}
    outputs = dict(TASKS[task][2])
    layers = cache_sizes(config)[0] if task.endswith("-with-past") else 0
    for name in (f"{i}.{part}" for i in range(layers) for part in ("key", "value")):
        if past:
            inputs[f"past_key_values.{name}"] = (TEXT[0], None, PAST)
        outputs[f"present.{name}"] = (TEXT[0], None, TOTAL)
    if takes_position_ids(config, task):
        inputs["position_ids"] = TEXT
    return [{k: {str(i): a for i, a in enumerate(axes) if a} for k, axes in side.items()} for side in (inputs, outputs)]


def make_decoder_fixture(o, folder):
    config = make_checkpoint(o, o.model_type, o.task, folder)
    model, missing = load_task_model(folder, o.task)
    if missing:
        sys.exit(f"the checkpoint lacks {missing}")
    inputs, outputs = decoder_axes(config, o.task)
    cases = []
    for n, case in enumerate(decoder_cases(o)):
        feed = make_decoder_inputs(config, o.task, case, n, o.seed)
        cases.append((feed, run_decoder_model(model, feed, outputs)))
    head = expected_head(config.model_type, o.task, "transformers", o.config_class or recipe_of(config.model_type)["onnx_config"], o.atol)
    write_expected(folder, head, inputs, outputs, cases)


def make_inputs(names, axes, config, mask, seed, case, longest):
    import numpy as np

    mask = np.array(mask, dtype=np.int64)
    if "num_choices" in axes:  # the rows of the mask become (batch, choices), with every row twice
        mask = np.repeat(mask[:, None], 2, axis=1)
        mask[:, 1] = np.roll(mask[:, 1], 1, axis=0)
    feed = {}
    for name in names:
        label = f"{name}.{case}"
        if name == "input_ids":
            pad = config.pad_token_id if config.pad_token_id is not None else 0
            ids = integers(label, mask.shape, 5, config.vocab_size, seed)
            feed[name] = np.where(mask == 1, ids, pad)
        elif name == "attention_mask":
            feed[name] = mask
        elif name == "token_type_ids":
            feed[name] = integers(label, mask.shape, 0, config.type_vocab_size, seed)
        else:
            sys.exit(f"no rule for input {name}")
    return feed


def make_images(config, sizes, seed):
    """pixel_values between -1 and 1, one case for each BATCHxHEIGHTxWIDTH"""
    cases = []
    for n, size in enumerate(sizes.split()):
        batch, height, width = map(int, size.split("x"))
        shape = (batch, config.num_channels, height, width)
        recipe = dict(dtype="F32", shape=list(shape), mean=0.0, halfwidth=1.0)
        cases.append({"pixel_values": synthesize(f"pixel_values.{n}", recipe, seed)})
    return cases


def axes_of(names, axes):
    return {n: {str(i): a for i, a in enumerate(axes)} for n in names}


def longest_input(config):
    """Positions of the roberta family start behind the padding id (in mpnet: behind 1, whatever the configuration says)."""
    positions = getattr(config, "max_position_embeddings", None) or 60
    if config.model_type == "mpnet":
        return positions - 2
    return positions - config.pad_token_id - 1 if config.model_type in ("roberta", "xlm-roberta", "camembert") else positions


def write_expected(folder, head, input_axes, output_axes, cases):
    import numpy as np
    import torch
    import transformers
    from safetensors.numpy import save_file

    records = []
    for n, (feed, out) in enumerate(cases):
        save_file({**{f"in/{k}": np.ascontiguousarray(v) for k, v in feed.items()}, **{f"out/{k}": np.ascontiguousarray(v) for k, v in out.items()}}, folder / f"model.{n}.safetensors")
        records.append({"n": n, "max_abs": {k: six_digits(float(np.abs(v).max())) for k, v in out.items()}})
    versions = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__}
    files = {"model": {"inputs": input_axes, "outputs": output_axes, "cases": records}}
    (folder / "expected.json").write_text(json.dumps({**head, **versions, "files": files}, indent=1) + "\n")


def expected_head(model_type, task, library, config_class, atol):
    return {"model_type": model_type, "task": task, "monolith": False, "variant": "default", "library": library, "atol": atol, "default_opset": OPSET, "config_class": config_class}


def make_checkpoint(o, model_type, task, folder):
    """Writes config.json, weights.json (and verbatim.safetensors) and the weights that they stand for; -> (configuration, recipe)"""
    import torch
    import transformers
    from safetensors import safe_open
    from safetensors.torch import save_file

    overrides = json.loads(o.config)
    config = tiny_config(model_type, task, overrides, o.config_file)
    cls = getattr(transformers, o.stored_as) if o.stored_as else model_class(task, config)
    transformers.modeling_utils._init_weights = not o.no_init
    model = cls(config)
    transformers.modeling_utils._init_weights = True
    with tempfile.TemporaryDirectory() as tmp:
        model.to({"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[o.storage]).save_pretrained(tmp)
        with safe_open(Path(tmp) / "model.safetensors", "pt") as f:
            stored = set(f.keys())
        values = json.loads((Path(tmp) / "config.json").read_text())
        if (Path(tmp) / "generation_config.json").exists():
            shutil.copy(Path(tmp) / "generation_config.json", folder)
    values.update({k: v for k, v in overrides.items() if k.startswith("_")})  # _attn_implementation is honoured, but not written
    recipe, verbatim = make_recipe(model, o.storage, stored, [r.split("=", 1) for r in o.rename])
    if o.position_ids:
        verbatim[o.position_ids] = torch.arange(config.max_position_embeddings)[None]
    if o.sparse_config:  # as old files are: nothing but what differs from the class
        default = type(config)().to_dict()
        values = {k: v for k, v in values.items() if k in ("architectures", "model_type") or (k != "transformers_version" and v != default.get(k))}
    values = {k: v for k, v in (values | json.loads(o.written)).items() if k not in o.drop.split(",")}
    (folder / "config.json").write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")
    (folder / "weights.json").write_text(json.dumps({"seed": o.seed, "tensors": recipe}, indent=0) + "\n")
    if verbatim:
        save_file(verbatim, folder / "verbatim.safetensors")
    write_checkpoint(folder, recipe, o.seed, verbatim)
    return config


def make_task_fixture(o, folder):
    config = make_checkpoint(o, o.model_type, o.task, folder)
    model, missing = load_task_model(folder, o.task)
    if missing:
        sys.exit(f"the checkpoint lacks {missing}")
    _, input_axes, outputs, _ = TASKS[o.task]
    recipe = recipe_of(config.model_type)
    names = o.inputs.split(",") if o.inputs else recipe.get("inputs", ["input_ids", "attention_mask"])
    if "pixel_values" in names:
        input_axes, outputs = PIXELS, IMAGE_OUTPUTS[o.task]
        feeds = make_images(config, o.sizes, o.seed)
    else:
        longest = longest_input(config)
        feeds = [make_inputs(names, input_axes, config, mask, o.seed, n, longest) for n, mask in enumerate(masks(o.edge, longest))]
    cases = [(feed, run_task_model(model, feed, outputs)) for feed in feeds]
    head = expected_head(config.model_type, o.task, "transformers", o.config_class or recipe.get("onnx_config", ""), o.atol)
    write_expected(folder, head, axes_of(names, input_axes), {k: axes_of([k], a)[k] for k, a in outputs.items()}, cases)


def write_tokenizer(folder, vocab_size, length):
    """The original does not load without a tokenizer: words w5, w6, … and the special tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    words = list(special.values()) + [f"w{i}" for i in range(len(special), vocab_size)]
    t = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    t.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=t, model_max_length=length, model_input_names=["input_ids", "attention_mask"], **special).save_pretrained(folder)


def make_sentence_fixture(o, folder):
    import torch
    from sentence_transformers import SentenceTransformer, models

    with tempfile.TemporaryDirectory() as tmp:
        base = Path(tmp) / "base"
        base.mkdir()
        config = make_checkpoint(o, o.base, "feature-extraction", base)
        longest = min(32, longest_input(config))
        write_tokenizer(base, config.vocab_size, longest)
        modules = [models.Transformer(str(base), max_seq_length=longest, model_args={"dtype": torch.float32})]
        width = modules[0].get_word_embedding_dimension()
        pooling = {f"pooling_mode_{'mean_sqrt_len_tokens' if p == 'mean_sqrt_len' else p if p == 'lasttoken' else p + ('_token' if p == 'cls' else '_tokens')}": True for p in o.pooling.split(",")}
        modules.append(models.Pooling(width, **{"pooling_mode_mean_tokens": False, **pooling}))
        if o.dense:
            out, _, activation = o.dense.partition(":")
            dense = models.Dense(modules[-1].pooling_output_dimension, int(out), activation_function=getattr(torch.nn, activation or "Tanh")())
            for name, p in dense.named_parameters():
                halfwidth = 0.25 if p.ndim < 2 else math.sqrt(3 / p.shape[1])
                p.data = torch.from_numpy(synthesize(f"2_Dense.{name}", dict(shape=list(p.shape), mean=0.0, halfwidth=halfwidth), o.seed))
            modules.append(dense)
        if o.normalize:
            modules.append(models.Normalize())
        whole = Path(tmp) / "whole"
        SentenceTransformer(modules=modules, device="cpu").save(str(whole), create_model_card=False)
        shutil.copytree(whole, folder, dirs_exist_ok=True, ignore=lambda d, names: ["model.safetensors"] if Path(d) == whole else [])
        for name in ("config.json", "weights.json", "verbatim.safetensors", "model.safetensors"):
            if (base / name).exists():
                shutil.copy(base / name, folder / name)
    for empty in [p for p in folder.iterdir() if p.is_dir() and not any(p.iterdir())]:
        empty.rmdir()
    versions = json.loads((folder / "config_sentence_transformers.json").read_text())
    versions.get("__version__", {}).pop("pytorch", None)  # names the build of one machine
    (folder / "config_sentence_transformers.json").write_text(json.dumps(versions, indent=2) + "\n")
    model = load_sentence_model(folder)
    names, cases = ["input_ids", "attention_mask"], []
    for n, mask in enumerate(masks(o.edge, longest)):
        feed = make_inputs(names, TEXT, config, mask, o.seed, n, longest)
        cases.append((feed, run_sentence_model(model, feed, SENTENCE_OUTPUTS)))
    head = expected_head(config.model_type, o.task, "sentence_transformers", SENTENCE_CONFIG, o.atol)
    head["subfolders"] = sorted(p.name for p in folder.iterdir() if p.is_dir())
    write_expected(folder, head, axes_of(names, TEXT), {k: axes_of([k], a)[k] for k, a in SENTENCE_OUTPUTS.items()}, cases)


def load_sentence_model(folder):
    import torch
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu", local_files_only=True, model_kwargs={"dtype": torch.float32}).eval()


# ---------------------------------------------------------------------------------------------------------------- checking a fixture
def difference(got, want, atol):
    """-> (largest absolute difference apart from sentinels, the same in units of the tolerance)"""
    import numpy as np

    if got.shape != want.shape:
        return math.inf, math.inf
    if not got.size:
        return 0.0, 0.0
    a, b = got.astype(np.float64), want.astype(np.float64)
    big = np.abs(b) >= 1e6
    if not (np.abs(a[big] - b[big]) <= 1e-2 * np.abs(b[big])).all():
        return math.inf, math.inf
    if big.all():
        return 0.0, 0.0
    d = float(np.abs(a[~big] - b[~big]).max())
    return (d, d / (atol * max(1.0, float(np.abs(b[~big]).max())))) if math.isfinite(d) else (math.inf, math.inf)


def rerun_fixture(fixture):
    """Runs the original on the inputs of a fixture; -> (reason why not, or None; largest difference; the same in units of the tolerance)"""
    from safetensors.numpy import load_file as load_arrays
    from safetensors.torch import load_file as load_tensors

    expected = json.loads((fixture / "expected.json").read_text())
    sentences = expected["library"] == "sentence_transformers"
    if list(expected["files"]) != ["model"] or (not sentences and expected["task"] not in TASKS):
        return "neither a text encoder nor a decoder", 0.0, 0.0
    weights = json.loads((fixture / "weights.json").read_text())
    with tempfile.TemporaryDirectory() as tmp:
        folder = Path(tmp) / "checkpoint"
        shutil.copytree(fixture, folder, ignore=shutil.ignore_patterns("expected.json", "weights.json", "verbatim.safetensors", "model.[0-9]*.safetensors"))
        verbatim = fixture / "verbatim.safetensors"
        write_checkpoint(folder, weights["tensors"], weights["seed"], load_tensors(verbatim) if verbatim.exists() else {}, weights.get("file", "model.safetensors"))
        if sentences:
            model, run = load_sentence_model(folder), run_sentence_model
        else:
            model, missing = load_task_model(folder, expected["task"])
            run = run_decoder_model if is_decoder(model.config.model_type) else run_task_model
            if missing:
                return f"the checkpoint lacks {missing}", 0.0, 0.0
        worst, ratio = 0.0, 0.0
        for case in expected["files"]["model"]["cases"]:
            tensors = load_arrays(fixture / f"model.{case['n']}.safetensors")
            feed = {k[3:]: v for k, v in tensors.items() if k.startswith("in/")}
            want = {k[4:]: v for k, v in tensors.items() if k.startswith("out/")}
            for name, got in run(model, feed, want).items():
                d, r = difference(got, want[name], case.get("atol", expected["atol"]))
                worst, ratio = max(worst, d), max(ratio, r)
    return None, worst, ratio


def rerun(folders):
    failed, largest = 0, 0.0
    for folder in folders:
        if not (folder / "expected.json").exists():
            print(f"{folder}: no expected.json", file=sys.stderr)
            failed += 1
            continue
        why, worst, ratio = rerun_fixture(folder)
        good = why is None and ratio <= 1
        failed, largest = failed + (not good), max(largest, ratio)
        print(f"{'same' if good else 'DIFFERS'} {folder.parent.name}/{folder.name}: " + (why or f"largest difference {worst:.3g}, {ratio:.3g} of the tolerance"), flush=True)
    print(f"{len(folders) - failed} same, {failed} not; at most {largest:.3g} of the tolerance")
    return 1 if failed or not folders else 0


# ---------------------------------------------------------------------------------------------------------------- command line
def arguments():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("model_type", nargs="?", help="a model_type, or sentence-transformers")
    a.add_argument("task", nargs="?", help=", ".join(TASKS) + "; for sentence-transformers: " + ", ".join(SENTENCE_TASKS))
    a.add_argument("--variant-name", default="", help="name of the setting that this fixture changes; the folder is <task>+<name>")
    a.add_argument("--config", default="{}", help="JSON object that overrides the tiny configuration")
    a.add_argument("--config-file", help="a small config.json that replaces the tiny configuration")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--storage", choices=("F32", "F16", "BF16"), default="F32", help="dtype of the stored weights; the original runs in float32")
    a.add_argument("--edge", action="store_true", help="one token, padding on the left, a fully masked row, holes, the longest input (decoders: padding within the past, and on the right)")
    a.add_argument("--cases", default="", metavar="'PAST+NEW:ROW,ROW …'", help="decoders: the inputs of each case; a row is the padding on the left (3), on the right (-2) or both (3-2), all, or holes; followed by p: a padding id that the mask shows")
    a.add_argument("--sizes", default="2x32x32 3x32x32", metavar="'BATCHxHEIGHTxWIDTH …'", help="images: the sizes of each case")
    a.add_argument("--inputs", help="comma-separated inputs, instead of those of the type")
    a.add_argument("--config-class", default="", help="configuration class for expected.json, instead of that of the type")
    a.add_argument("--atol", type=float, default=ATOL)
    a.add_argument("--stored-as", help="class whose checkpoint is written (BertForPreTraining), to add heads of other tasks or another prefix")
    a.add_argument("--rename", action="append", default=[], metavar="OLD=NEW", help="old spelling of keys (LayerNorm.weight=LayerNorm.gamma)")
    a.add_argument("--position-ids", metavar="KEY", help="store the buffer of positions under this key, as old checkpoints do")
    a.add_argument("--written", default="{}", help="JSON object that overrides the config.json that is written: old spellings, keys that the class would not write")
    a.add_argument("--drop", default="", metavar="KEY,KEY", help="keys to leave out of config.json")
    a.add_argument("--no-init", action="store_true", help="for a configuration that the original can load but not initialize (opt without affine norms)")
    a.add_argument("--sparse-config", action="store_true", help="leave out keys that equal the class defaults")
    a.add_argument("--base", default="bert", help="sentence-transformers: type of the transformer")
    a.add_argument("--pooling", default="mean", help="sentence-transformers: cls, max, mean, mean_sqrt_len, weightedmean, lasttoken, or several")
    a.add_argument("--dense", metavar="WIDTH[:ACTIVATION]", help="sentence-transformers: a Dense module, activation from torch.nn (Tanh)")
    a.add_argument("--normalize", action="store_true", help="sentence-transformers: a Normalize module")
    a.add_argument("--out", type=Path, default=GOLDEN)
    a.add_argument("--force", action="store_true", help="replace an existing fixture")
    a.add_argument("--from-fixture", type=Path, nargs="+", metavar="DIR", help="run the original on these fixtures and compare")
    o = a.parse_args()
    if not o.from_fixture:
        known = SENTENCE_TASKS if o.model_type == "sentence-transformers" else TASKS
        if not o.model_type or o.task not in known:
            a.error(f"needs a model type and a task of {', '.join(known)}")
    return o


def main():
    o = arguments()
    ensure_environment()
    quiet()
    if o.from_fixture:
        return rerun(o.from_fixture)
    target = o.out / o.model_type / (o.task + ("+" + o.variant_name if o.variant_name else ""))
    if target.exists() and not o.force:
        sys.exit(f"{target} exists (--force replaces it)")
    with tempfile.TemporaryDirectory() as tmp:
        folder = Path(tmp) / "fixture"
        folder.mkdir()
        make = make_sentence_fixture if o.model_type == "sentence-transformers" else make_decoder_fixture if is_decoder(o.model_type) else make_task_fixture
        make(o, folder)
        (folder / "model.safetensors").unlink()  # weights.json stands for it
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(folder, target)
    why, worst, ratio = rerun_fixture(target)
    if why or ratio > 0.01:
        sys.exit(f"{target}: a second run differs: {why or worst}")
    print(f"{target}: {sum(f.stat().st_size for f in target.rglob('*') if f.is_file()) / 1024:.0f} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
