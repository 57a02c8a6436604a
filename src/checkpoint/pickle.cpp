#include "checkpoint/pickle.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <limits>
#include <optional>
#include <span>
#include <utility>

#include "support/fail.h"
#include "support/printable.h"
#include "support/shape.h"
#include "support/text.h"

namespace onnxport::pickle {
namespace {

constexpr ErrorCode kBad = ErrorCode::bad_checkpoint;

enum class Name {
  ordered_dict,
  rebuild_tensor,
  rebuild_tensor_v2,
  rebuild_tensor_v3,
  rebuild_parameter,
  storage,  // a class of storages, with a dtype or (UntypedStorage) without
  dtype
};

struct KnownName {
  std::string_view text;
  Name name;
  std::optional<DType> dtype;
};

constexpr auto kNames = std::to_array<KnownName>({
    {"collections.OrderedDict", Name::ordered_dict, {}},
    {"torch._utils._rebuild_tensor", Name::rebuild_tensor, {}},
    {"torch._utils._rebuild_tensor_v2", Name::rebuild_tensor_v2, {}},
    {"torch._utils._rebuild_tensor_v3", Name::rebuild_tensor_v3, {}},
    {"torch._utils._rebuild_parameter", Name::rebuild_parameter, {}},
    {"torch.FloatStorage", Name::storage, DType::f32},
    {"torch.HalfStorage", Name::storage, DType::f16},
    {"torch.BFloat16Storage", Name::storage, DType::bf16},
    {"torch.DoubleStorage", Name::storage, DType::f64},
    {"torch.LongStorage", Name::storage, DType::i64},
    {"torch.IntStorage", Name::storage, DType::i32},
    {"torch.ShortStorage", Name::storage, DType::i16},
    {"torch.CharStorage", Name::storage, DType::i8},
    {"torch.ByteStorage", Name::storage, DType::u8},
    {"torch.BoolStorage", Name::storage, DType::boolean},
    {"torch.UntypedStorage", Name::storage, {}},
    {"torch.storage.UntypedStorage", Name::storage, {}},
    {"torch.float32", Name::dtype, DType::f32},
    {"torch.float16", Name::dtype, DType::f16},
    {"torch.bfloat16", Name::dtype, DType::bf16},
    {"torch.float64", Name::dtype, DType::f64},
    {"torch.int64", Name::dtype, DType::i64},
    {"torch.int32", Name::dtype, DType::i32},
    {"torch.int16", Name::dtype, DType::i16},
    {"torch.int8", Name::dtype, DType::i8},
    {"torch.uint8", Name::dtype, DType::u8},
    {"torch.uint16", Name::dtype, DType::u16},
    {"torch.uint32", Name::dtype, DType::u32},
    {"torch.uint64", Name::dtype, DType::u64},
    {"torch.bool", Name::dtype, DType::boolean},
});

using Id = std::uint32_t;  // of an object: objects refer to each other by it, so that depth costs nothing

struct Object {
  enum class Kind { other, boolean, integer, text, tuple, list, dict, name, storage, tensor };
  Kind kind = Kind::other;
  std::int64_t integer = 0;          // its value; of a tensor: which function rebuilds it, as a Name
  std::string_view text;             // its characters; of a storage: its name
  const KnownName* known = nullptr;  // of a name; of a storage: its class
  std::vector<Id> parts;             // items; of a dict: keys and values in turn; of a tensor: arguments
};
using Kind = Object::Kind;

std::string_view describe(const Object& object) {
  constexpr std::array<std::string_view, 10> kKinds = {"an object", "a boolean", "an integer", "a string",
                                                       "a tuple",   "a list",    "a dict",     "a name",
                                                       "a storage", "a tensor"};
  return kKinds[static_cast<std::size_t>(object.kind)];
}

/// The stack machine that runs the program in a pickle.
class Unpickler {
 public:
  Unpickler(std::string_view bytes, const std::string& file) : bytes_(bytes), file_(file) {}

  std::vector<Tensor> run() {
    while (!done_) step();
    if (at_ != bytes_.size()) fail_here("{} bytes follow the end of the pickle", bytes_.size() - at_);
    return tensors_of(objects_[result_]);
  }

 private:
  // --- errors

  template <class... Args>
  [[noreturn]] void fail_here(fmt::format_string<Args...> format, Args&&... args) const {
    fail(kBad, "{} is not a state dict that onnxport can read: {} (byte {} of its data.pkl)", file_,
         fmt::format(format, std::forward<Args>(args)...), opcode_at_);
  }

  // --- bytes

  std::string_view take(std::uint64_t size) {
    if (size > bytes_.size() - at_) {
      fail_here("the pickle ends after {} bytes, expected {} more", bytes_.size(),
                size - (bytes_.size() - at_));
    }
    const std::string_view taken = bytes_.substr(at_, size);
    at_ += size;
    return taken;
  }
  /// The next bytes as a little-endian number.
  std::uint64_t number(std::size_t size) {
    std::uint64_t value = 0;
    const std::string_view bytes = take(size);
    for (std::size_t i = 0; i < size; ++i) {
      value |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
    }
    return value;
  }
  std::string_view line() {
    const std::size_t end = bytes_.find('\n', at_);
    if (end == std::string_view::npos) fail_here("the pickle ends inside a name");
    const std::string_view text = take(end - at_);
    ++at_;
    return text;
  }

  // --- objects

  Id make(Object object) {
    if (objects_.size() >= kMaxObjects) fail_here("the pickle holds more than {} objects", kMaxObjects);
    objects_.push_back(std::move(object));
    return static_cast<Id>(objects_.size() - 1);
  }
  void push(Object object) { stack_.push_back(make(std::move(object))); }
  void push_integer(std::int64_t value) { push({.kind = Kind::integer, .integer = value}); }

  std::size_t bottom() const { return marks_.empty() ? 0 : marks_.back(); }
  Id pop() {
    if (stack_.size() <= bottom()) fail_here("the pickle takes more objects from its stack than it has");
    const Id id = stack_.back();
    stack_.pop_back();
    return id;
  }
  Object& top() {
    if (stack_.size() <= bottom()) fail_here("the pickle uses the top of an empty stack");
    return objects_[stack_.back()];
  }
  /// Pops everything that was pushed since the last mark, and the mark.
  std::vector<Id> pop_mark() {
    if (marks_.empty()) fail_here("the pickle closes a group that was not opened");
    const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<Id> ids(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return ids;
  }
  std::vector<Id> pop_many(std::size_t count) {
    std::vector<Id> ids(count);
    for (std::size_t i = count; i-- > 0;) ids[i] = pop();
    return ids;
  }
  void append(Kind kind, std::vector<Id> ids) {
    Object& object = top();
    if (object.kind != kind) fail_here("the pickle adds items to {}", describe(object));
    if (kind == Kind::dict && ids.size() % 2 != 0)
      fail_here("the pickle adds a key without a value to a dict");
    object.parts.insert(object.parts.end(), ids.begin(), ids.end());
  }

  void remember(std::uint64_t slot) {
    top();
    if (slot >= kMaxObjects)
      fail_here("the pickle memoizes an object as number {}, expected at most {}", slot, kMaxObjects);
    if (slot >= memo_.size()) memo_.resize(std::max(slot + 1, memo_.size() * 2), kForgotten);
    memo_[slot] = stack_.back();
  }
  void recall(std::uint64_t slot) {
    if (slot >= memo_.size() || memo_[slot] == kForgotten) {
      fail_here("the pickle recalls object number {}, which it did not memoize", slot);
    }
    stack_.push_back(memo_[slot]);
  }

  // --- opcodes

  void step() {
    opcode_at_ = at_;
    const auto opcode = static_cast<unsigned char>(take(1)[0]);
    switch (opcode) {
      case 0x80:  // PROTO
        if (const auto version = number(1); version != 2)
          fail_here("it uses pickle protocol {}, expected 2", version);
        return;
      case '(':  // MARK
        marks_.push_back(stack_.size());
        return;
      case ')':  // EMPTY_TUPLE
        return push({.kind = Kind::tuple});
      case 0x85:  // TUPLE1, TUPLE2, TUPLE3
      case 0x86:
      case 0x87:
        return push({.kind = Kind::tuple, .parts = pop_many(opcode - 0x84U)});
      case 't':  // TUPLE
        return push({.kind = Kind::tuple, .parts = pop_mark()});
      case ']':  // EMPTY_LIST
        return push({.kind = Kind::list});
      case 'a':  // APPEND
        return append(Kind::list, pop_many(1));
      case 'e':  // APPENDS
        return append(Kind::list, pop_mark());
      case '}':  // EMPTY_DICT
        return push({.kind = Kind::dict});
      case 's':  // SETITEM
        return append(Kind::dict, pop_many(2));
      case 'u':  // SETITEMS
        return append(Kind::dict, pop_mark());
      case 'X':  // BINUNICODE
        return push({.kind = Kind::text, .text = take(number(4))});
      case 'J':  // BININT
        return push_integer(static_cast<std::int32_t>(number(4)));
      case 'K':  // BININT1
        return push_integer(static_cast<std::int64_t>(number(1)));
      case 'M':  // BININT2
        return push_integer(static_cast<std::int64_t>(number(2)));
      case 0x8a:  // LONG1
        return read_long();
      case 'G':  // BINFLOAT
        take(8);
        return push({});
      case 'N':  // NONE
        return push({});
      case 0x88:  // NEWTRUE, NEWFALSE
      case 0x89:
        return push({.kind = Kind::boolean});
      case 'q':  // BINPUT
        return remember(number(1));
      case 'r':  // LONG_BINPUT
        return remember(number(4));
      case 'h':  // BINGET
        return recall(number(1));
      case 'j':  // LONG_BINGET
        return recall(number(4));
      case 'c':  // GLOBAL
        return read_name();
      case 'Q':  // BINPERSID
        return read_storage();
      case 'R':  // REDUCE
        return call();
      case 'b':  // BUILD: torch hangs _metadata on the dict
        pop();
        if (top().kind != Kind::dict) fail_here("the pickle sets attributes of {}", describe(top()));
        return;
      case '.':  // STOP
        result_ = pop();
        if (!stack_.empty() || !marks_.empty())
          fail_here("the pickle ends with {} objects left over", stack_.size());
        done_ = true;
        return;
      default:
        fail_here("the pickle has opcode 0x{:02x}, which torch.save does not write for tensors", opcode);
    }
  }

  void read_long() {
    const std::size_t size = number(1);
    if (size > 8) {  // no size of a tensor
      take(size);
      return push({});
    }
    std::uint64_t value = number(size);
    const unsigned bits = static_cast<unsigned>(size) * 8;
    if (size > 0 && size < 8 && (value >> (bits - 1) & 1U) != 0) value |= ~std::uint64_t{0} << bits;
    push_integer(static_cast<std::int64_t>(value));
  }

  void read_name() {
    const std::string_view module = line();
    const std::string text = fmt::format("{}.{}", module, line());
    const auto known =
        std::find_if(kNames.begin(), kNames.end(), [&](const auto& k) { return k.text == text; });
    if (known == kNames.end()) {
      fail_here("the pickle asks for '{}', but onnxport reads only tensors and runs no code",
                printable(text));
    }
    push({.kind = Kind::name, .known = &*known});
  }

  /// ('storage', class, name, device, number of elements)
  void read_storage() {
    const Object& id = objects_[pop()];
    const auto is = [&](std::size_t i, Kind kind) { return objects_[id.parts[i]].kind == kind; };
    if (id.kind != Kind::tuple || id.parts.size() != 5 || !is(0, Kind::text) || !is(1, Kind::name) ||
        !is(2, Kind::text) || !is(4, Kind::integer) || objects_[id.parts[0]].text != "storage" ||
        objects_[id.parts[1]].known->name != Name::storage) {
      fail_here("the pickle refers to external data that is not the storage of a tensor");
    }
    const Object storage{.kind = Kind::storage,
                         .integer = objects_[id.parts[4]].integer,
                         .text = objects_[id.parts[2]].text,
                         .known = objects_[id.parts[1]].known};
    if (storage.integer < 0) {
      fail_here("storage '{}' has {} elements, expected at least 0", printable(storage.text),
                storage.integer);
    }
    push(storage);
  }

  void call() {
    const Id arguments = pop();
    const Id function = pop();
    if (objects_[function].kind != Kind::name) fail_here("the pickle calls {}", describe(objects_[function]));
    if (objects_[arguments].kind != Kind::tuple) {
      fail_here("the pickle calls '{}' with {}, expected a tuple", objects_[function].known->text,
                describe(objects_[arguments]));
    }
    const KnownName& known = *objects_[function].known;
    const std::vector<Id>& parts = objects_[arguments].parts;
    const auto expect = [&](std::initializer_list<Kind> kinds, std::size_t most) {
      bool good = parts.size() >= kinds.size() && parts.size() <= most;
      for (std::size_t i = 0; good && i < kinds.size(); ++i)
        good = objects_[parts[i]].kind == kinds.begin()[i];
      if (!good) fail_here("the pickle calls '{}' with arguments that torch does not use", known.text);
    };
    const auto view = {Kind::storage, Kind::integer, Kind::tuple, Kind::tuple};
    const auto typed_view = {Kind::storage, Kind::integer, Kind::tuple, Kind::tuple,
                             Kind::boolean, Kind::dict,    Kind::name};
    switch (known.name) {
      case Name::ordered_dict:
        expect({}, 0);
        return push({.kind = Kind::dict});
      case Name::rebuild_parameter:
        expect({Kind::tensor}, 3);
        return stack_.push_back(parts[0]);
      case Name::rebuild_tensor:
      case Name::rebuild_tensor_v2:
        expect(view, known.name == Name::rebuild_tensor ? 4 : 7);
        break;
      case Name::rebuild_tensor_v3:
        expect(typed_view, 8);
        break;
      case Name::storage:
      case Name::dtype:
        fail_here("the pickle calls '{}', which is not a function", known.text);
    }
    // The parts are checked when a key of the dict needs them.
    push({.kind = Kind::tensor, .known = &known, .parts = parts});
  }

  // --- result

  std::vector<Tensor> tensors_of(const Object& dict) const {
    if (dict.kind != Kind::dict) fail(kBad, "{} holds {}, expected a dict of tensors", file_, describe(dict));
    std::vector<std::pair<std::string_view, const Object*>> found;
    std::vector<std::string> inner;  // keys of dicts
    for (std::size_t i = 0; i < dict.parts.size(); i += 2) {
      const Object &key = objects_[dict.parts[i]], &value = objects_[dict.parts[i + 1]];
      if (key.kind == Kind::text && value.kind == Kind::dict && inner.size() < 3) {
        inner.push_back(printable(key.text));
      }
      if (value.kind != Kind::tensor) continue;
      if (key.kind != Kind::text) {
        fail(kBad, "{} has {} as the key of a tensor, expected a string", file_, describe(key));
      }
      if (key.text.size() > kMaxKey) {
        fail(kBad, "tensor '{}' in {} has a key of {} bytes, expected at most {}", printable(key.text), file_,
             key.text.size(), kMaxKey);
      }
      found.emplace_back(key.text, &value);
    }
    if (found.empty() && !inner.empty()) {
      fail(kBad,
           "{} has no tensors in its dict, but dicts {}, like a training checkpoint: expected a state dict; "
           "save only that",
           file_, text::join_quoted(inner));
    }
    if (found.empty()) fail(kBad, "{} has no tensors in its dict, expected a state dict", file_);
    std::vector<std::string_view> keys(found.size());
    std::transform(found.begin(), found.end(), keys.begin(), [](const auto& item) { return item.first; });
    std::sort(keys.begin(), keys.end());
    const auto twice = std::adjacent_find(keys.begin(), keys.end());
    if (twice != keys.end()) fail(kBad, "tensor '{}' occurs twice in {}", printable(*twice), file_);
    std::vector<Tensor> tensors;
    tensors.reserve(found.size());
    for (const auto& [key, value] : found) tensors.push_back(tensor_of(key, *value));
    return tensors;
  }

  Tensor tensor_of(std::string_view key, const Object& object) const {
    const Object& storage = objects_[object.parts[0]];
    const std::int64_t offset = objects_[object.parts[1]].integer;
    Tensor tensor{.key = std::string(key),
                  .shape = integers(object.parts[2], key, "shape"),
                  .strides = integers(object.parts[3], key, "strides"),
                  .storage = storage.text};
    const bool typed = object.known->name != Name::rebuild_tensor_v3;
    const std::optional<DType> dtype = (typed ? storage : objects_[object.parts[6]]).known->dtype;
    if (!dtype) fail(kBad, "tensor '{}' in {} has no dtype", printable(key), file_);
    tensor.dtype = *dtype;
    // A storage without a dtype has its size in bytes.
    const std::uint64_t element = size_of(*dtype),
                        unit = storage.known->dtype ? size_of(*storage.known->dtype) : 1;
    if (storage.known->dtype && storage.known->dtype != dtype) {
      fail(kBad, "tensor '{}' in {} has dtype {}, but its storage has {}", printable(key), file_,
           to_string(*dtype), to_string(*storage.known->dtype));
    }
    const auto last = last_element(tensor, offset);
    const bool fits =
        last &&
        !__builtin_mul_overflow(static_cast<std::uint64_t>(storage.integer), unit, &tensor.storage_bytes) &&
        *last <= tensor.storage_bytes / element;
    if (!fits) {
      fail(kBad,
           "tensor '{}' in {} of shape {} with strides {} begins at element {} of a storage of {} {}, which "
           "it does not fit into",
           printable(key), file_, text::shape_text(tensor.shape), text::shape_text(tensor.strides), offset,
           storage.integer, unit == element ? "elements" : "bytes");
    }
    tensor.offset = static_cast<std::uint64_t>(offset) * element;
    return tensor;
  }

  std::vector<std::int64_t> integers(Id id, std::string_view key, std::string_view what) const {
    const std::vector<Id>& parts = objects_[id].parts;
    if (parts.size() > kMaxAxes) {
      fail(kBad, "tensor '{}' in {} has {} axes, expected at most {}", printable(key), file_, parts.size(),
           kMaxAxes);
    }
    std::vector<std::int64_t> values;
    for (const Id part : parts) {
      if (objects_[part].kind != Kind::integer) {
        fail(kBad, "tensor '{}' in {} has {} in its {}, expected integers", printable(key), file_,
             describe(objects_[part]), what);
      }
      values.push_back(objects_[part].integer);
    }
    return values;
  }

  /// The number of storage elements up to the last element of the tensor; nothing if shape, strides and
  /// offset are invalid.
  static std::optional<std::uint64_t> last_element(const Tensor& tensor, std::int64_t offset) {
    const auto count = element_count(tensor.shape);
    const auto negative = [](std::int64_t value) { return value < 0; };
    if (!count || tensor.shape.size() != tensor.strides.size() || offset < 0 ||
        std::any_of(tensor.strides.begin(), tensor.strides.end(), negative)) {
      return std::nullopt;
    }
    std::int64_t last = offset;
    if (*count == 0) return static_cast<std::uint64_t>(last);
    for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
      std::int64_t way = 0;
      if (__builtin_mul_overflow(tensor.shape[i] - 1, tensor.strides[i], &way) ||
          __builtin_add_overflow(last, way, &last)) {
        return std::nullopt;
      }
    }
    return static_cast<std::uint64_t>(last) + 1;
  }

  static constexpr Id kForgotten = std::numeric_limits<Id>::max();

  std::string_view bytes_;
  const std::string& file_;
  std::size_t at_ = 0, opcode_at_ = 0;
  std::vector<Object> objects_;
  std::vector<Id> stack_, memo_;
  std::vector<std::size_t> marks_;  // heights of the stack
  Id result_ = 0;
  bool done_ = false;
};

}  // namespace

std::vector<Tensor> parse_state_dict(std::string_view bytes, const std::string& file_name) {
  return Unpickler(bytes, file_name).run();
}

}  // namespace onnxport::pickle
