"""The components of diffusion pipelines for make_pipelines.py: their inputs, and how the original computes their outputs."""
from make_golden import integers, synthesize

BATCH, WORDS, STEP = "batch_size", "sequence_length", "step"
PIXELS = {"0": BATCH, "2": "height", "3": "width"}
PACKED = {"0": BATCH, "1": "packed_height_width"}


# ---------------------------------------------------------------------------------------------------------------- inputs
class Case:
    """The sizes of one case: {"rows": real tokens of each row, "length": tokens of all rows, "height": of latents, "width": of latents}."""

    def __init__(self, number, seed, values):
        self.number, self.seed = number, seed
        self.rows, self.length = values["rows"], values["length"]
        self.height, self.width = values["height"], values["width"]

    def floats(self, name, shape, mean=0.0, halfwidth=1.7):
        return synthesize(f"{name}.{self.number}", dict(shape=list(shape), mean=mean, halfwidth=halfwidth), self.seed)

    def mask(self):
        import numpy as np

        return np.array([[1] * n + [0] * (self.length - n) for n in self.rows], dtype=np.int64)

    def ids(self, vocab_size):
        import numpy as np

        return np.where(self.mask() == 1, integers(f"input_ids.{self.number}", (len(self.rows), self.length), 3, vocab_size, self.seed), 0)

    @property
    def batch(self):
        return len(self.rows)


# ---------------------------------------------------------------------------------------------------------------- the originals
# For each class a function of the model and a case -> {suffix of the graph: (inputs, function that runs the original)}.
def text_encoder(run):
    def both(model, case):
        feed = {"input_ids": case.ids(model.config.get_text_config().vocab_size), "attention_mask": case.mask()}
        return {"": (feed, run)}

    return both


def last_states(model, input_ids, attention_mask):
    return {"last_hidden_state": model(input_ids, attention_mask=attention_mask)[0]}


def last_of_all(model, input_ids, attention_mask):
    return {"last_hidden_state": model(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True).hidden_states[-1]}


def last_but_one(model, input_ids, attention_mask):
    layers = model.config.num_hidden_layers
    states = model(input_ids, attention_mask=attention_mask.bool(), output_hidden_states=True).hidden_states
    return {f"hidden_states.{layers - 1}": states[-2]}


def latents_and_text(case, channels, width, step):
    """The inputs of a transformer; step: the mean and the halfwidth of its steps."""
    return {
        "hidden_states": case.floats("hidden_states", (case.batch, channels, case.height, case.width)),
        "encoder_hidden_states": case.floats("encoder_hidden_states", (case.batch, case.length, width)),
        "timestep": case.floats("timestep", (case.batch,), *step),
        "encoder_attention_mask": case.mask(),
    }


def pixart(model, case):
    feed = latents_and_text(case, model.config.in_channels, model.config.caption_channels, (500, 499))
    if model.use_additional_conditions:
        feed["resolution"] = case.floats("resolution", (case.batch, 2), 1024, 500)
        feed["aspect_ratio"] = case.floats("aspect_ratio", (case.batch, 1), 1.5, 1)

    def run(model, resolution=None, aspect_ratio=None, **inputs):
        sizes = {"resolution": resolution, "aspect_ratio": aspect_ratio}
        return {"out_hidden_states": model(**inputs, added_cond_kwargs=sizes, return_dict=False)[0]}

    return {"": (feed, run)}


def qwen_image(model, case):
    import numpy as np

    c = model.config
    shapes = [(1, case.height // 2, case.width // 2)]
    if case.number == 2:  # and an image as condition
        shapes.append((1, case.height // 2 + 1, case.width // 2 - 1))
    squares = sum(f * h * w for f, h, w in shapes)
    feed = {
        "hidden_states": case.floats("hidden_states", (case.batch, squares, c.in_channels)),
        "encoder_hidden_states": case.floats("encoder_hidden_states", (case.batch, case.length, c.joint_attention_dim)),
        "encoder_hidden_states_mask": case.mask(),
        "timestep": case.floats("timestep", (case.batch,), 0.5, 0.5),
        "img_shapes": np.array(shapes, dtype=np.int64),
    }

    def run(model, img_shapes, **inputs):
        shapes = [[tuple(shape) for shape in img_shapes.tolist()]] * len(inputs["timestep"])
        return {"out_hidden_states": model(**inputs, img_shapes=shapes, return_dict=False)[0]}

    return {"": (feed, run)}


def sana(model, case):
    feed = latents_and_text(case, model.config.in_channels, model.config.caption_channels, (500, 499))
    if model.config.guidance_embeds:
        feed["guidance"] = case.floats("guidance", (case.batch,), 0.5, 0.4)
    return {"": (feed, lambda model, **inputs: {"out_hidden_states": model(**inputs, return_dict=False)[0]})}


def z_image(model, case):
    feed = latents_and_text(case, model.config.in_channels, model.config.cap_feat_dim, (0.5, 0.5))

    def run(model, hidden_states, encoder_hidden_states, timestep, encoder_attention_mask):
        import torch

        texts = [states[mask.bool()] for states, mask in zip(encoder_hidden_states, encoder_attention_mask)]
        images = list(hidden_states.unsqueeze(2).unbind(0))  # one frame
        return {"out_hidden_states": torch.stack(model(images, timestep, texts, return_dict=False)[0]).squeeze(2)}

    return {"": (feed, run)}


def factor_of(config):
    """The extents of an image, divided by those of its latents."""
    levels = next(config[key] for key in ("block_out_channels", "encoder_block_out_channels", "dim_mult") if key in config)
    return 2 ** (len(levels) - 1)


def autoencoder(encode, decode, channels="in_channels", latents="latent_channels"):
    """channels, latents: the keys of their numbers"""

    def halves(model, case):
        c, factor = model.config, factor_of(model.config)
        image = case.floats("sample", (case.batch, c[channels], case.height * factor, case.width * factor), 0, 1)
        sample = case.floats("latent_sample", (case.batch, c[latents], case.height, case.width))
        return {"_encoder": ({"sample": image}, encode), "_decoder": ({"latent_sample": sample}, decode)}

    return halves


def encode(model, sample):
    return {"latent_sample": model.encode(sample).latent}


def encode_distribution(model, sample):
    return {"latent_parameters": model.encode(sample).latent_dist.parameters}


def decode(model, latent_sample):
    return {"sample": model.decode(latent_sample).sample}


def encode_frame(model, sample):
    return {"latent_parameters": model.encode(sample.unsqueeze(2)).latent_dist.parameters.squeeze(2)}


def decode_frame(model, latent_sample):
    return {"sample": model.decode(latent_sample.unsqueeze(2)).sample.squeeze(2)}


ORIGINALS = {
    "AutoencoderDC": autoencoder(encode, decode),
    "AutoencoderKL": autoencoder(encode_distribution, decode),
    "AutoencoderKLQwenImage": autoencoder(encode_frame, decode_frame, "input_channels", "z_dim"),
    "PixArtTransformer2DModel": pixart,
    "Gemma2Model": text_encoder(last_states),
    "SanaTransformer2DModel": sana,
    "Qwen2_5_VLForConditionalGeneration": text_encoder(last_of_all),
    "QwenImageTransformer2DModel": qwen_image,
    "Qwen3Model": text_encoder(last_but_one),
    "T5EncoderModel": text_encoder(last_states),
    "ZImageTransformer2DModel": z_image,
}

IMAGE = {"0": BATCH, "2": "sample_height", "3": "sample_width"}
LATENTS = {"0": BATCH, "2": "latent_height", "3": "latent_width"}


def scaled(axes, operation):
    return {axis: name if name == BATCH else f"{name} {operation}" for axis, name in axes.items()}


def axes_of(graph, name, model):
    """The names of the dynamic axes of an input or output."""
    if graph == "vae_encoder":
        return IMAGE if name == "sample" else scaled(IMAGE, f"/ {factor_of(model.config)}")
    if graph == "vae_decoder":
        return LATENTS if name == "latent_sample" else scaled(LATENTS, f"* {factor_of(model.config)}")
    if name == "timestep":
        return {"0": STEP}
    if name in ("resolution", "aspect_ratio", "guidance"):
        return {"0": BATCH}
    if name in ("hidden_states", "out_hidden_states"):
        return PACKED if "joint_attention_dim" in model.config else PIXELS
    if name == "img_shapes":
        return {"0": "num_images"}
    return {"0": BATCH, "1": WORDS}
