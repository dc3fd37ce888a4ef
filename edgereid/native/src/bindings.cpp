// The Python module edgereid.native._kernels: checks shapes, releases the interpreter lock, calls.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/tuple.h>

#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <tuple>

#include "histogram.hpp"
#include "ranks.hpp"

namespace nb = nanobind;

namespace {

template <typename T, int Dimensions>
using Array = nb::ndarray<T, nb::ndim<Dimensions>, nb::c_contig, nb::device::cpu>;
using Floats = Array<const float, 1>;
using Matrix = Array<const float, 2>;
using Indices = Array<const std::int64_t, 1>;
using Counts = Array<std::int64_t, 1>;

constexpr std::size_t kMaxHalf = std::size_t{1} << 22;

edgereid::IndexLists lists(const Indices& offsets, const Indices& indices, std::size_t rows,
                           std::size_t columns) {
    const edgereid::IndexLists result{offsets.data(), indices.data()};
    if (offsets.shape(0) != rows + 1 || !edgereid::valid(result, rows, indices.shape(0), columns)) {
        throw std::invalid_argument("the index lists do not fit the matrix of distances");
    }
    return result;
}

void match_ranks(const Matrix& distances, const Indices& match_offsets, const Indices& matches,
                 const Indices& ignored_offsets, const Indices& ignored, const Counts& ranks,
                 unsigned threads) {
    const std::size_t rows = distances.shape(0);
    const std::size_t columns = distances.shape(1);
    if (ranks.shape(0) != matches.shape(0)) {
        throw std::invalid_argument("ranks and matches need the same length");
    }
    const nb::gil_scoped_release release;
    edgereid::match_ranks(distances.data(), rows, columns,
                          lists(match_offsets, matches, rows, columns),
                          lists(ignored_offsets, ignored, rows, columns), ranks.data(), threads);
}

bool histogram_add(const Floats& values, const Counts& counts, float inverse_width) {
    const std::size_t half = counts.shape(0) / 2;
    if (half == 0 || counts.shape(0) % 2 != 0 || half > kMaxHalf) {
        throw std::invalid_argument("counts needs an even number of bins, 2 to 2^23");
    }
    if (!(std::isfinite(inverse_width) && inverse_width > 0.0f)) {
        throw std::invalid_argument("inverse_width needs to be above zero and finite in float32");
    }
    const nb::gil_scoped_release release;
    return edgereid::histogram_add(values.data(), values.shape(0), inverse_width, counts.data(), half);
}

std::tuple<float, float, std::size_t> min_max(const Floats& values) {
    const nb::gil_scoped_release release;
    const edgereid::Range range = edgereid::min_max(values.data(), values.shape(0));
    return {range.min, range.max, range.nonfinite};
}

}  // namespace

NB_MODULE(_kernels, module) {
    module.doc() = "Compiled kernels; use the functions of edgereid.native.";
    module.def("match_ranks", &match_ranks, nb::arg("distances").noconvert(),
               nb::arg("match_offsets").noconvert(), nb::arg("matches").noconvert(),
               nb::arg("ignored_offsets").noconvert(), nb::arg("ignored").noconvert(),
               nb::arg("ranks").noconvert(), nb::arg("threads"));
    module.def("histogram_add", &histogram_add, nb::arg("values").noconvert(),
               nb::arg("counts").noconvert(), nb::arg("inverse_width"));
    module.def("min_max", &min_max, nb::arg("values").noconvert());
}
