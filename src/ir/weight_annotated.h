/// Weights with an annotation: data about their elements that the expression itself does not need.
#pragma once

#include <memory>
#include <utility>

#include "ir/weight_expr.h"

namespace onnxport::detail {

/// The elements of `values`, and an annotation. Neither elements nor fingerprint differ from those of
/// `values`.
template <class Annotation>
class AnnotatedSource final : public Source {
 public:
  AnnotatedSource(SourcePtr values, std::shared_ptr<const Annotation> annotation)
      : Source(values->dtype(), values->text(), values->depth() + 1),
        values_(std::move(values)),
        annotation_(std::move(annotation)) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    values_->read(begin, count, out);
  }
  std::vector<Origin> origins(std::int64_t begin, std::int64_t count) const override {
    return values_->origins(begin, count);
  }
  const std::shared_ptr<const Annotation>& annotation() const { return annotation_; }

 private:
  SourcePtr values_;
  std::shared_ptr<const Annotation> annotation_;
};

template <class Annotation>
Weight annotated(const Weight& values, Annotation annotation) {
  return WeightExpr::wrap(
      {.source = std::make_shared<AnnotatedSource<Annotation>>(
           WeightExpr::of(values).source, std::make_shared<const Annotation>(std::move(annotation))),
       .shape = values.shape(),
       .name = values.name()});
}

/// The annotation of a weight, perhaps cast or in another shape; null if it has none of this type.
template <class Annotation>
std::shared_ptr<const Annotation> annotation_of(const Weight& weight) {
  const WeightExpr* expr = &WeightExpr::of(weight);
  while (expr->input && expr->axes.empty()) expr = expr->input.get();
  const auto* source = dynamic_cast<const AnnotatedSource<Annotation>*>(expr->source.get());
  return source != nullptr ? source->annotation() : nullptr;
}

}  // namespace onnxport::detail
