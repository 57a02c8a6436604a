"""BERT as a definition in Python: the whole of it, with the keys of the original.

    onnxport export onnx --plugin my_bert.py --model bert-base-uncased out/

It gives the same bytes as the built-in definition.
"""

from onnxport import nn
from onnxport.exporters import TasksManager
from onnxport.exporters.onnx import TextEncoderOnnxConfig
from onnxport.utils import DummyTextInputGenerator, NormalizedTextConfig

register = TasksManager.create_register("onnx", overwrite_existing=True)


class Bert:
    """Embeddings and layers, [B, S] -> [B, S, H]."""

    def __init__(self, s: nn.Scope, config: nn.TextEncoderConfig) -> None:
        self.embeddings = nn.TextEmbeddings(s / "embeddings", config)
        self.encoder = nn.PostNormEncoder(s / "encoder" / "layer", config)

    def __call__(self, inputs: nn.Inputs) -> nn.Value:
        hidden = self.embeddings(inputs["input_ids"], inputs.get("token_type_ids"))
        return self.encoder(hidden, nn.padding_mask(inputs.get("attention_mask")))


@register("bert", *nn.text_encoder_tasks())
class BertOnnxConfig(TextEncoderOnnxConfig):
    # Specifies how to normalize the BertConfig, this is needed to access common attributes.
    NORMALIZED_CONFIG_CLASS = NormalizedTextConfig
    DUMMY_INPUT_GENERATOR_CLASSES = (DummyTextInputGenerator,)
    # Sets the absolute tolerance when validating the exported ONNX model against the reference model.
    ATOL_FOR_VALIDATION = 1e-5

    TIED = ("bert.embeddings.word_embeddings", "cls.predictions.decoder")
    IGNORABLE_KEYS = ("cls.seq_relationship.*",)

    @property
    def inputs(self) -> dict[str, dict[int, str]]:
        if self.task == "multiple-choice":
            dynamic_axis = {0: "batch_size", 1: "num_choices", 2: "sequence_length"}
        else:
            dynamic_axis = {0: "batch_size", 1: "sequence_length"}
        return {
            "input_ids": dynamic_axis,
            "attention_mask": dynamic_axis,
            "token_type_ids": dynamic_axis,
        }

    @staticmethod
    def forward(inputs: nn.Inputs, model: nn.Model, component: nn.Component) -> dict[str, nn.Value]:
        config = nn.TextEncoderConfig(model.config)
        root = model.scope()
        base = root.base_model("bert")
        bert = Bert(base, config)

        def fill_mask(hidden: nn.Value) -> nn.Value:
            words = bert.embeddings.words if config.tie_word_embeddings else None
            head = root / "cls" / "predictions"
            return nn.MaskedLmHead(head, config, words, "transform.dense", "transform.LayerNorm")(hidden)

        def pool(hidden: nn.Value) -> nn.Value:
            return nn.Pooler(base / "pooler" / "dense", config.hidden_size)(hidden)

        def classify(hidden: nn.Value) -> nn.Value:
            pooled = pool(hidden)
            return nn.Linear(root / "classifier", config.hidden_size, config.num_labels)(pooled)

        return nn.build_text_encoder_task(
            component.task,
            inputs,
            root,
            encode=bert,
            fill_mask=fill_mask,
            classify=classify,
            summarize=pool,
            hidden_size=config.hidden_size,
            num_labels=config.num_labels,
        )
