"""The modules."""

from collections.abc import Callable, Sequence
from typing import overload

import onnxport._native


class Linear:
    """y = x W^T + b. Keys: weight [out, in], bias [out]."""

    @overload
    def __init__(self, s: onnxport._native.Scope, in_: int, out: int, bias: bool = True) -> None: ...

    @overload
    def __init__(self, path: str, weight: onnxport._native.Weight, bias: onnxport._native.Weight = ...) -> None: ...

    @staticmethod
    def transposed(s: onnxport._native.Scope, in_: int, out: int) -> Linear: ...

    @property
    def weight(self) -> onnxport._native.Weight: ...

    @property
    def bias(self) -> onnxport._native.Weight | None: ...

    def __call__(self, x: onnxport._native.Value) -> onnxport._native.Value: ...

class Embedding:
    """Keys: weight [count, width]."""

    def __init__(self, s: onnxport._native.Scope, count: int, width: int) -> None: ...

    @property
    def weight(self) -> onnxport._native.Weight: ...

    def first(self, graph: onnxport._native.Graph, count: onnxport._native.Dim) -> onnxport._native.Value: ...

    def __call__(self, indices: onnxport._native.Value) -> onnxport._native.Value: ...

class LayerNorm:
    """Over the last axis. Keys: weight [width], bias [width]."""

    def __init__(self, s: onnxport._native.Scope, width: int, eps: float, affine: bool = True, bias: bool = True) -> None: ...

    def __call__(self, x: onnxport._native.Value) -> onnxport._native.Value: ...

class RmsNorm:
    """x / sqrt(mean(x²) + eps) * (offset + weight). Keys: weight [width]."""

    def __init__(self, s: onnxport._native.Scope, width: int, eps: float = 1e-06, offset: float = 0.0) -> None: ...

    def __call__(self, x: onnxport._native.Value) -> onnxport._native.Value: ...

class Activation:
    """An activation by its name in config.json: gelu, silu, relu, …."""

    def __init__(self, name: str) -> None: ...

    def __call__(self, x: onnxport._native.Value) -> onnxport._native.Value: ...

class GatedMlp:
    """
    down(activation(gate(x)) * up(x)). Keys: gate_proj, up_proj, down_proj.
    """

    def __init__(self, s: onnxport._native.Scope, hidden_size: int, intermediate_size: int, activation: str = 'silu', bias: bool = False) -> None: ...

    def __call__(self, x: onnxport._native.Value) -> onnxport._native.Value: ...

class AttentionMask:
    """The keys that each query sees."""

    def __init__(self, padding: onnxport._native.Value | None = None, visible: onnxport._native.Value | None = None, bias: onnxport._native.Value | None = None, causal: bool = False, window: int | None = None, uniform: bool = False) -> None: ...

def padding_mask(attention_mask: onnxport._native.Value | None) -> AttentionMask:
    """The mask for an attention mask [B, S] of 0 and 1; None hides nothing."""

def split_heads(x: onnxport._native.Value, heads: int) -> onnxport._native.Value: ...

def merge_heads(x: onnxport._native.Value) -> onnxport._native.Value: ...

class SelfAttention:
    """
    Self-attention with its output projection. Keys: as in BERT, unless named.
    """

    def __init__(self, s: onnxport._native.Scope, hidden_size: int, heads: int, query: str = 'self.query', key: str = 'self.key', value: str = 'self.value', output: str = 'output.dense') -> None: ...

    def __call__(self, x: onnxport._native.Value, mask: AttentionMask | None = None) -> onnxport._native.Value: ...

class TextEncoderConfig:
    """The typed configuration that BERT and its relatives share."""

    def __init__(self, config: onnxport._native.PretrainedConfig) -> None: ...

    @property
    def vocab_size(self) -> int: ...

    @vocab_size.setter
    def vocab_size(self, arg: int, /) -> None: ...

    @property
    def hidden_size(self) -> int: ...

    @hidden_size.setter
    def hidden_size(self, arg: int, /) -> None: ...

    @property
    def num_hidden_layers(self) -> int: ...

    @num_hidden_layers.setter
    def num_hidden_layers(self, arg: int, /) -> None: ...

    @property
    def num_attention_heads(self) -> int: ...

    @num_attention_heads.setter
    def num_attention_heads(self, arg: int, /) -> None: ...

    @property
    def intermediate_size(self) -> int: ...

    @intermediate_size.setter
    def intermediate_size(self, arg: int, /) -> None: ...

    @property
    def max_position_embeddings(self) -> int: ...

    @max_position_embeddings.setter
    def max_position_embeddings(self, arg: int, /) -> None: ...

    @property
    def type_vocab_size(self) -> int: ...

    @type_vocab_size.setter
    def type_vocab_size(self, arg: int, /) -> None: ...

    @property
    def num_labels(self) -> int: ...

    @num_labels.setter
    def num_labels(self, arg: int, /) -> None: ...

    @property
    def hidden_act(self) -> str: ...

    @hidden_act.setter
    def hidden_act(self, arg: str, /) -> None: ...

    @property
    def layer_norm_eps(self) -> float: ...

    @layer_norm_eps.setter
    def layer_norm_eps(self, arg: float, /) -> None: ...

    @property
    def tie_word_embeddings(self) -> bool: ...

    @tie_word_embeddings.setter
    def tie_word_embeddings(self, arg: bool, /) -> None: ...

class TextEmbeddings:
    """
    LayerNorm(word + token type + position). Keys: as in BERT's embeddings.
    """

    def __init__(self, s: onnxport._native.Scope, config: TextEncoderConfig) -> None: ...

    @property
    def words(self) -> onnxport._native.Weight: ...

    def __call__(self, input_ids: onnxport._native.Value, token_type_ids: onnxport._native.Value | None = None, position_ids: onnxport._native.Value | None = None) -> onnxport._native.Value: ...

class PostNormEncoder:
    """Layers s / 0, s / 1, …: attention, add, norm, feed-forward, add, norm."""

    def __init__(self, s: onnxport._native.Scope, config: TextEncoderConfig) -> None: ...

    def __call__(self, x: onnxport._native.Value, mask: AttentionMask) -> onnxport._native.Value: ...

class Pooler:
    """tanh(dense(first token)): [B, S, H] -> [B, H]."""

    def __init__(self, dense: onnxport._native.Scope, width: int) -> None: ...

    def __call__(self, hidden: onnxport._native.Value) -> onnxport._native.Value: ...

class ClassificationHead:
    """out_proj(activation(dense(first token))). Keys: dense, out_proj."""

    def __init__(self, s: onnxport._native.Scope, width: int, labels: int, activation: str) -> None: ...

    def __call__(self, hidden: onnxport._native.Value) -> onnxport._native.Value: ...

class MaskedLmHead:
    """dense, activation, norm, output embedding."""

    def __init__(self, s: onnxport._native.Scope, config: TextEncoderConfig, tied: onnxport._native.Weight | None, dense: str = 'dense', norm: str = 'layer_norm') -> None: ...

    def __call__(self, hidden: onnxport._native.Value) -> onnxport._native.Value: ...

def first_token(hidden: onnxport._native.Value) -> onnxport._native.Value:
    """[B, S, H] -> [B, H]"""

def text_encoder_tasks() -> list[str]: ...

def build_text_encoder_task(task: str, inputs: onnxport._native.Inputs, s: onnxport._native.Scope, *, encode: Callable[[onnxport._native.Inputs], onnxport._native.Value], fill_mask: Callable[[onnxport._native.Value], onnxport._native.Value], classify: Callable[[onnxport._native.Value], onnxport._native.Value], summarize: Callable[[onnxport._native.Value], onnxport._native.Value], hidden_size: int, num_labels: int) -> dict:
    """
    The outputs of a task around an encoder; each function is called only if the task needs it.
    """

class DecoderPass:
    """One forward pass of a decoder, with its states."""

    @property
    def input_ids(self) -> onnxport._native.Value: ...

    @property
    def position_ids(self) -> onnxport._native.Value: ...

    @property
    def length(self) -> onnxport._native.Dim: ...

    @property
    def past_length(self) -> onnxport._native.Dim: ...

class CausalAttention:
    """Self-attention with a cache."""

class FeedForward:
    """[B, S, H] -> [B, S, H]"""

    def __init__(self, forward: Callable[[onnxport._native.Value], onnxport._native.Value]) -> None: ...

    def __call__(self, x: onnxport._native.Value) -> onnxport._native.Value: ...

class Block:
    """One layer of a decoder."""

    def __init__(self, block: Callable[[onnxport._native.Value, DecoderPass], onnxport._native.Value]) -> None:
        """From a function (x [B, S, H], pass) -> [B, S, H]."""

    def __call__(self, x: onnxport._native.Value, decoder_pass: DecoderPass) -> onnxport._native.Value: ...

class TextDecoderConfig:
    """
    The typed configuration that most decoders share, and the parts of their blocks.
    """

    def __init__(self, config: onnxport._native.PretrainedConfig) -> None: ...

    @property
    def vocab_size(self) -> int: ...

    @vocab_size.setter
    def vocab_size(self, arg: int, /) -> None: ...

    @property
    def hidden_size(self) -> int: ...

    @hidden_size.setter
    def hidden_size(self, arg: int, /) -> None: ...

    @property
    def num_hidden_layers(self) -> int: ...

    @num_hidden_layers.setter
    def num_hidden_layers(self, arg: int, /) -> None: ...

    @property
    def intermediate_size(self) -> int: ...

    @intermediate_size.setter
    def intermediate_size(self, arg: int, /) -> None: ...

    @property
    def num_labels(self) -> int: ...

    @num_labels.setter
    def num_labels(self, arg: int, /) -> None: ...

    @property
    def hidden_act(self) -> str: ...

    @hidden_act.setter
    def hidden_act(self, arg: str, /) -> None: ...

    @property
    def attention_bias(self) -> bool: ...

    @attention_bias.setter
    def attention_bias(self, arg: bool, /) -> None: ...

    @property
    def tie_word_embeddings(self) -> bool: ...

    @tie_word_embeddings.setter
    def tie_word_embeddings(self, arg: bool, /) -> None: ...

    @property
    def embedding_scale(self) -> float: ...

    @embedding_scale.setter
    def embedding_scale(self, arg: float, /) -> None: ...

    @property
    def logit_scale(self) -> float: ...

    @logit_scale.setter
    def logit_scale(self, arg: float, /) -> None: ...

    @property
    def final_softcap(self) -> float: ...

    @final_softcap.setter
    def final_softcap(self, arg: float, /) -> None: ...

    @property
    def last_norm(self) -> str: ...

    @last_norm.setter
    def last_norm(self, arg: str, /) -> None: ...

    def attention(self, s: onnxport._native.Scope, layer: int, window: int | None = None) -> CausalAttention:
        """Keys: q_proj, k_proj, v_proj, o_proj."""

    def normed_attention(self, s: onnxport._native.Scope, layer: int, window: int | None = None) -> CausalAttention:
        """Keys: also q_norm, k_norm."""

    def mlp(self, s: onnxport._native.Scope, bias: bool = False) -> FeedForward:
        """Gated. Keys: gate_proj, up_proj, down_proj."""

    def plain_mlp(self, s: onnxport._native.Scope, bias: bool, up: str = 'up_proj', down: str = 'down_proj') -> FeedForward: ...

    def block(self, s: onnxport._native.Scope, attention: CausalAttention, mlp: FeedForward) -> Block:
        """
        Keys: input_layernorm, post_attention_layernorm, and those of the parts.
        """

    def parallel_block(self, s: onnxport._native.Scope, attention: CausalAttention, mlp: FeedForward) -> Block: ...

    def post_normed_block(self, s: onnxport._native.Scope, attention: CausalAttention, mlp: FeedForward) -> Block: ...

def text_decoder_tasks(others: Sequence[str] = ['text-classification']) -> list[str]: ...

def forward_text_decoder(inputs: onnxport._native.Inputs, model: onnxport._native.Model, component: onnxport._native.Component, config: TextDecoderConfig, make_block: Callable[[onnxport._native.Scope, int], Block]) -> dict:
    """
    The outputs of a decoder whose keys lie below `model`, with `lm_head` beside it; make_block(s, layer).
    """
