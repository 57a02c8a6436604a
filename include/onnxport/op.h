/// The semantic ops, with the names and meanings of PyTorch's functional API.
///
/// Each function checks its operands, infers dtype and symbolic shape, appends one node to the operands'
/// graph and returns its value. If operands do not fit, it throws ExportError(shape) that names the op, the
/// module path, the types found and the types expected. `axis` arguments may be negative. Graph::weight()
/// turns a Weight into an operand.
///
/// C++ does not define the order in which operands are evaluated. An expression with several operands may
/// have at most one call that creates a node; give the other results names first.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "onnxport/graph.h"

namespace onnxport::op {

// ---- constants and sizes ----

/// A scalar constant, shape [].
ONNXPORT_API Value scalar(Graph& graph, double value, DType dtype);
/// A dimension as an int64 scalar, shape [].
ONNXPORT_API Value size(Graph& graph, const Dim& dim);
/// int64 [n] = start, start + 1, …, start + n - 1. (torch.arange)
ONNXPORT_API Value arange(Graph& graph, const Dim& n, const Dim& start = 0);

// ---- elementwise ----

ONNXPORT_API Value neg(Value x);
ONNXPORT_API Value abs(Value x);
ONNXPORT_API Value exp(Value x);
ONNXPORT_API Value log(Value x);
ONNXPORT_API Value sqrt(Value x);
ONNXPORT_API Value reciprocal(Value x);
ONNXPORT_API Value erf(Value x);
ONNXPORT_API Value tanh(Value x);
ONNXPORT_API Value sigmoid(Value x);
ONNXPORT_API Value relu(Value x);
/// log(1 + exp(x))
ONNXPORT_API Value softplus(Value x);
/// To the nearest integer, ties to even.
ONNXPORT_API Value round(Value x);
ONNXPORT_API Value sin(Value x);
ONNXPORT_API Value cos(Value x);
ONNXPORT_API Value logical_not(Value x);

/// Broadcasting. Both operands have one dtype; integer division truncates toward zero.
ONNXPORT_API Value add(Value a, Value b);
ONNXPORT_API Value sub(Value a, Value b);
ONNXPORT_API Value mul(Value a, Value b);
ONNXPORT_API Value div(Value a, Value b);
ONNXPORT_API Value pow(Value a, Value b);
ONNXPORT_API Value maximum(Value a, Value b);
ONNXPORT_API Value minimum(Value a, Value b);
ONNXPORT_API Value logical_and(Value a, Value b);
ONNXPORT_API Value logical_or(Value a, Value b);
/// With a scalar as in Python, which gets the dtype of the other operand.
ONNXPORT_API Value add(Value a, double b);
ONNXPORT_API Value sub(Value a, double b);
ONNXPORT_API Value sub(double a, Value b);
ONNXPORT_API Value mul(Value a, double b);
ONNXPORT_API Value div(Value a, double b);
ONNXPORT_API Value pow(Value a, double b);
ONNXPORT_API Value maximum(Value a, double b);
ONNXPORT_API Value minimum(Value a, double b);

/// Comparisons return bool.
ONNXPORT_API Value eq(Value a, Value b);
ONNXPORT_API Value lt(Value a, Value b);
ONNXPORT_API Value le(Value a, Value b);
ONNXPORT_API Value gt(Value a, Value b);
ONNXPORT_API Value ge(Value a, Value b);
ONNXPORT_API Value eq(Value a, double b);
ONNXPORT_API Value ne(Value a, double b);
ONNXPORT_API Value lt(Value a, double b);
ONNXPORT_API Value gt(Value a, double b);

/// Makes no node if x already has the dtype.
ONNXPORT_API Value cast(Value x, DType dtype);
/// condition ? a : b, broadcasting. (torch.where)
ONNXPORT_API Value where(Value condition, Value a, Value b);
/// Floats, at least `low` and at most `high`. (torch.clamp)
ONNXPORT_API Value clamp(Value x, double low, double high);
/// x where the mask is false, `value` where it is true. (Tensor.masked_fill)
ONNXPORT_API Value masked_fill(Value x, Value mask, double value);

// ---- activations ----

/// `approximate`: "none" (erf) or "tanh". (torch.nn.functional.gelu)
ONNXPORT_API Value gelu(Value x, std::string_view approximate = "none");
ONNXPORT_API Value silu(Value x);
/// x * sigmoid(1.702 x). (Hendrycks and Gimpel 2016)
ONNXPORT_API Value quick_gelu(Value x);
/// gelu(x + bias) with bias [D], for x [..., D].
ONNXPORT_API Value bias_gelu(Value x, Value bias, std::string_view approximate = "none");
ONNXPORT_API Value mish(Value x);

// ---- shape ----

/// One entry may be -1. The numbers of elements must be equal as polynomials.
ONNXPORT_API Value reshape(Value x, Shape shape);
/// Joins axes [start, end] into one.
ONNXPORT_API Value flatten(Value x, std::int64_t start, std::int64_t end);
ONNXPORT_API Value permute(Value x, std::vector<std::int64_t> axes);
ONNXPORT_API Value transpose(Value x, std::int64_t axis0, std::int64_t axis1);
ONNXPORT_API Value unsqueeze(Value x, std::int64_t axis);
ONNXPORT_API Value squeeze(Value x, std::int64_t axis);
/// Broadcasts axes of extent 1 to the given shape.
ONNXPORT_API Value expand(Value x, Shape shape);
ONNXPORT_API Value concat(std::vector<Value> parts, std::int64_t axis);
/// Elements [begin, end) of an axis, end - begin in number. Negative constants count from the end.
ONNXPORT_API Value slice(Value x, std::int64_t axis, Dim begin, Dim end);
/// Consecutive parts of an axis. The sizes must add up to its extent. (torch.split)
ONNXPORT_API std::vector<Value> split(Value x, std::int64_t axis, const std::vector<std::int64_t>& sizes);
/// `parts` equal parts of a static axis. (torch.chunk, without a remainder)
ONNXPORT_API std::vector<Value> chunk(Value x, std::int64_t axis, std::int64_t parts);
/// x[..., index, ...] with the axis removed. (Tensor.select)
ONNXPORT_API Value select(Value x, std::int64_t axis, std::int64_t index);

// ---- reductions ----

ONNXPORT_API Value sum(Value x, std::int64_t axis, bool keepdim = false);
ONNXPORT_API Value mean(Value x, std::int64_t axis, bool keepdim = false);
ONNXPORT_API Value amax(Value x, std::int64_t axis, bool keepdim = false);
/// First index of the largest element, int64.
ONNXPORT_API Value argmax(Value x, std::int64_t axis, bool keepdim = false);
ONNXPORT_API Value cumsum(Value x, std::int64_t axis);

struct TopK {
  Value values;
  Value indices;  ///< int64
};
/// The k largest elements of an axis, in descending order; equal elements keep their order. (torch.topk)
ONNXPORT_API TopK topk(Value x, std::int64_t k, std::int64_t axis);

// ---- indexing ----

/// table [n, ...rest], indices int [...] -> [...indices, ...rest]. (torch.nn.functional.embedding)
ONNXPORT_API Value embedding(Value table, Value indices);
/// torch.gather: indices int, same rank as x; result has the shape of indices.
ONNXPORT_API Value gather(Value x, std::int64_t axis, Value indices);

// ---- matrices ----

/// Batched matrix product with broadcasting of the leading axes. (torch.matmul; both operands of rank >= 2)
ONNXPORT_API Value matmul(Value a, Value b);
/// x [..., in] * weight[out, in]^T + bias[out]. (torch.nn.functional.linear) `bias` may also have the shape
/// of the result, to which it is added. (torch.addmm)
ONNXPORT_API Value linear(Value x, Value weight, Value bias = {});

// ---- convolutions ----

struct ConvOptions {
  std::vector<std::int64_t> stride = {};  ///< one per spatial axis; empty: 1
  /// Zeros around each spatial axis: one number per axis for both sides; or two numbers per axis, first those
  /// before all axes, then those after them; empty: none.
  std::vector<std::int64_t> padding = {};
  std::vector<std::int64_t> dilation = {};  ///< one per spatial axis; empty: 1
  std::int64_t groups = 1;
};
/// x [N, C, L], weight [O, C / groups, K], bias [O] or absent -> [N, O, L']. (torch.nn.functional.conv1d)
ONNXPORT_API Value conv1d(Value x, Value weight, Value bias = {}, const ConvOptions& options = {});
/// x [N, C, H, W], weight [O, C / groups, KH, KW], bias [O] or absent -> [N, O, H', W'].
/// (torch.nn.functional.conv2d)
ONNXPORT_API Value conv2d(Value x, Value weight, Value bias = {}, const ConvOptions& options = {});
/// x [N, I, H, W], weight [I, O / groups, KH, KW], bias [O] or absent -> [N, O, H', W'] with
/// H' = (H - 1) * stride + dilation * (KH - 1) + 1 - padding. (torch.nn.functional.conv_transpose2d)
ONNXPORT_API Value conv_transpose2d(Value x, Value weight, Value bias = {}, const ConvOptions& options = {});
/// x [N, C, H, W]: the largest element under each position of the kernel [KH, KW], ignoring padding. The
/// default stride is the size of the kernel. (torch.nn.functional.max_pool2d; no groups)
ONNXPORT_API Value max_pool2d(Value x, const std::vector<std::int64_t>& kernel,
                              const ConvOptions& options = {});

// ---- images ----

/// Adds `before` and `after` elements of this value around each axis of x. (torch.nn.functional.pad)
ONNXPORT_API Value pad(Value x, Shape before, Shape after, double value = 0);
/// Resamples the last axes of x to the extents `size`. `mode`: "nearest", "linear" (on two axes: bilinear) or
/// "cubic" (bicubic, coefficient -0.75, no antialiasing). `align_corners` aligns the centres of the outermost
/// elements instead of their outer edges; not with "nearest". (torch.nn.functional.interpolate)
ONNXPORT_API Value interpolate(Value x, Shape size, std::string_view mode, bool align_corners = false);

// ---- normalization ----

/// Softmax over an axis; the result sums to one. As in PyTorch, a row of only -inf gives NaN.
ONNXPORT_API Value softmax(Value x, std::int64_t axis);
/// Over the last axis. (torch.nn.functional.layer_norm)
ONNXPORT_API Value layer_norm(Value x, Value weight, Value bias, double eps);
/// x [N, C, ...]: over C / groups channels and all axes after them; weight, bias [C] or absent.
/// (torch.nn.functional.group_norm)
ONNXPORT_API Value group_norm(Value x, std::int64_t groups, Value weight, Value bias, double eps = 1e-5);
/// x / sqrt(mean(x²) + eps) * weight over the last axis; computes in float32 if x has half precision.
/// `weight` may be absent. (torch.nn.functional.rms_norm)
ONNXPORT_API Value rms_norm(Value x, Value weight, double eps);
struct AddNorm {
  Value normed;  ///< the norm of the sum
  Value sum;
};
/// A residual and the norm after it: layer_norm(x + skip + linear_bias, …). x and skip have the same shape.
/// `linear_bias` [D] is the bias of the linear layer that computed x, and may be absent.
ONNXPORT_API AddNorm add_layer_norm(Value x, Value skip, Value weight, Value bias, double eps,
                                    Value linear_bias = {});
/// The same with rms_norm.
ONNXPORT_API AddNorm add_rms_norm(Value x, Value skip, Value weight, double eps, Value linear_bias = {});
/// x / max(||x||_2, eps) along an axis. (torch.nn.functional.normalize)
ONNXPORT_API Value normalize(Value x, std::int64_t axis, double eps = 1e-12);

// ---- attention ----

struct AttentionOptions {
  /// Multiplies the scores; absent: 1/sqrt(head_dim).
  std::optional<double> scale = {};
  /// Scores become softcap * tanh(scores / softcap) before masking; 0: no cap.
  double softcap = 0;
  bool weights = false;  ///< also gives AttentionResults::weights
};

/// The result for a query that sees no key.
enum class NoKeys {
  zero,     ///< 0
  uniform,  ///< the mean over all keys, even masked ones, as if masks were added to the scores
};

/// The keys that each query sees, among P past and L new ones, or among S keys of another sequence. A query
/// sees a key if all members allow it. By default, it sees all keys.
struct AttentionMask {
  /// bool or int [B, P + L]: 0 hides a key.
  Value padding = {};
  /// bool, broadcasts to [B, H, L, P + L]: whether a query sees a key.
  Value visible = {};
  /// float, broadcasts to [B, H, L, P + L]: added to the scores.
  Value bias = {};
  /// Query i sees only the keys up to its own, number P + i.
  bool causal = false;
  /// Query i sees only keys whose number differs from its own, P + i, by less than this.
  std::optional<std::int64_t> window = {};
  NoKeys no_keys = NoKeys::zero;
};

/// Rotary position embeddings (Su et al. 2021): pair i of the first R elements of each head is rotated by the
/// angle position * frequencies[i].
struct Rope {
  /// int [B, L] or [1, L]; or, if the pairs have positions of their own, [B, L, R / 2] or [1, L, R / 2].
  /// Absent: no rotation.
  Value position_ids = {};
  Value frequencies = {};    ///< float32 [R / 2]
  double scale = 1;          ///< multiplies cosines and sines
  bool interleaved = false;  ///< element 2 i pairs with 2 i + 1, instead of i with i + R / 2

  explicit operator bool() const { return static_cast<bool>(position_ids); }
};

struct AttentionOperands {
  /// Required: [B, L, H * D], [B, S, G * D], [B, S, G * E]. Without a past, key and value may already have
  /// separate heads: [B, G, S, D], [B, G, S, E].
  Value query, key, value;
  Value past_key = {};    ///< [B, G, P, D]: from earlier calls; S is L
  Value past_value = {};  ///< [B, G, P, E]
  AttentionMask mask = {};
  Rope rope = {};    ///< rotates queries and keys; S is L
  Value sinks = {};  ///< [H]: scores in the softmax beside those of the keys; a query without keys gives 0
};
struct AttentionResults {
  Value output;        ///< [B, L, H * E]
  Value key;           ///< [B, G, P + S, D]: the past keys, then the new rotated ones
  Value value;         ///< [B, G, P + S, E]
  Value weights = {};  ///< [B, H, L, P + S]: the softmax of the scores, without a share of sinks; or absent
};
/// Multi-head attention: rotates queries and keys, appends keys and values to the past ones, and attends. H
/// is a multiple of G: query head h attends to key head h / (H / G). Its decomposition computes masks and
/// angles once per graph. (Vaswani et al. 2017; torch.nn.functional.scaled_dot_product_attention)
ONNXPORT_API AttentionResults attention(const AttentionOperands& operands, std::int64_t heads,
                                        std::int64_t kv_heads, const AttentionOptions& options = {});

/// The same with separate heads: query [B, H, L, D], key [B, G, S, D], value [B, G, S, E] -> [B, H, L, E].
/// `mask`, broadcasts to [B, H, L, S]: absent, bool (true: seen; a row without any gives 0) or float (added).
ONNXPORT_API Value scaled_dot_product_attention(Value query, Value key, Value value, Value mask = {},
                                                const AttentionOptions& options = {});

/// Rotates every head of x [B, L, heads * D] or [B, heads, L, D]. cos and sin: [B or 1, L, R / 2].
ONNXPORT_API Value rotary_embedding(Value x, Value cos, Value sin, std::int64_t heads,
                                    bool interleaved = false);

}  // namespace onnxport::op

namespace onnxport::op::detail {

/// Makes a node of any op: infers the result types and appends the node to the operands' graph. For passes.
ONNXPORT_API Node& make(Graph& graph, Op op, std::vector<Value> inputs, Attrs attrs);
/// For composites: computes the results with smaller ops. Only the inputs of `node` must be part of a graph.
ONNXPORT_API std::vector<Value> decompose(const Node& node);
ONNXPORT_API bool is_composite(Op op);
/// The result of the op on weight operands as a weight, without a node; empty if the op cannot be folded.
ONNXPORT_API Weight fold(const Node& node, std::span<const Weight> operands);

}  // namespace onnxport::op::detail
