// Sampling of images at places.
#include <algorithm>
#include <cmath>
#include <string>

#include "reference/call.h"

namespace onnxport::reference {

Results interpret_grid_sample(const Call& call) {
  const HostTensor& x = call.input(0);
  const HostTensor& grid = call.input(1);
  const bool nearest = call.node.attrs.get<std::string>("mode") == "nearest";
  const bool border = call.node.attrs.get<std::string>("padding_mode") == "border";
  const bool align_corners = call.node.attrs.flag("align_corners");
  const std::int64_t channels = x.shape[1], height = x.shape[2], width = x.shape[3];
  if (height < 1 || width < 1) reject(call.node, "an image of {} x {}", height, width);
  const std::int64_t places = grid.shape[1] * grid.shape[2];
  HostTensor out = make_tensor(call.dtype(), {x.shape[0], channels, grid.shape[1], grid.shape[2]});

  const auto place = [&](double from, std::int64_t extent) {
    const auto n = static_cast<double>(extent);
    const double at = align_corners ? (from + 1) / 2 * (n - 1) : ((from + 1) * n - 1) / 2;
    return border ? std::clamp(at, 0.0, n - 1) : std::clamp(at, -2.0, n + 1);
  };
  for (std::int64_t i = 0; i < x.shape[0] * places; ++i) {
    const double column = place(grid.reals[static_cast<std::size_t>(2 * i)], width);
    const double row = place(grid.reals[static_cast<std::size_t>(2 * i + 1)], height);
    const std::int64_t image = i / places, at = i % places;
    const auto read = [&](double r, double c, double weight) {
      if (weight == 0 || r < 0 || c < 0 || r >= static_cast<double>(height) ||
          c >= static_cast<double>(width))
        return;
      const std::int64_t from = static_cast<std::int64_t>(r) * width + static_cast<std::int64_t>(c);
      for (std::int64_t k = image * channels; k < (image + 1) * channels; ++k) {
        out.reals[static_cast<std::size_t>(k * places + at)] +=
            weight * x.reals[static_cast<std::size_t>(k * height * width + from)];
      }
    };
    if (nearest) {
      read(std::nearbyint(row), std::nearbyint(column), 1);
      continue;
    }
    const double top = std::floor(row), left = std::floor(column);
    const double down = row - top, right = column - left;
    read(top, left, (1 - down) * (1 - right));
    read(top, left + 1, (1 - down) * right);
    read(top + 1, left, down * (1 - right));
    read(top + 1, left + 1, down * right);
  }
  return out;
}

}  // namespace onnxport::reference
