// The Python module edgereid.native._kernels: checks shapes, releases the interpreter lock, calls.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/tuple.h>

#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

#include "histogram.hpp"
#include "nearest.hpp"
#include "ranks.hpp"
#include "rerank.hpp"

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

using MutableMatrix = Array<float, 2>;
using Row = Array<float, 1>;
using Table = Array<const std::int32_t, 2>;

void require(bool fits) {
    if (!fits) throw std::invalid_argument("the arrays do not fit each other");
}

// The neighbours of all images, from blocks of -2 x.y: those of the images done are in the last
// columns of a block.
class NearestTable {
public:
    NearestTable(const Floats& squares, std::size_t neighbours)
        : table_({squares.data(), squares.data() + squares.shape(0)},
                 checked(neighbours, squares.shape(0))) {}

    void add(const Matrix& block, unsigned threads) {
        const std::size_t left = table_.images() - table_.done();
        const std::size_t rows = block.shape(0), pitch = block.shape(1);
        require(pitch >= left && rows <= left);
        const nb::gil_scoped_release release;
        table_.add(block.data() + (pitch - left), rows, pitch, threads);
    }

    void finish(const Array<std::int32_t, 2>& indices, const Row& maxima) const {
        require(table_.done() == table_.images() && indices.shape(0) == table_.images() &&
                indices.shape(1) == table_.neighbours() && maxima.shape(0) == table_.images());
        const nb::gil_scoped_release release;
        table_.finish(indices.data(), maxima.data());
    }

private:
    static std::size_t checked(std::size_t neighbours, std::size_t images) {
        require(neighbours >= 1 && neighbours <= images);
        return neighbours;
    }

    edgereid::NearestTable table_;
};

// Encodings of all images, queries first, and those of the gallery inverted.
class ReciprocalEncoding {
public:
    ReciprocalEncoding(const Matrix& features, const Floats& squares, const Floats& maxima,
                       const Table& neighbours, std::size_t queries, std::size_t k1, std::size_t k2,
                       unsigned threads)
        : squares_(squares.data(), squares.data() + squares.shape(0)),
          maxima_(maxima.data(), maxima.data() + maxima.shape(0)), queries_(queries) {
        const std::size_t count = features.shape(0), width = neighbours.shape(1);
        require(squares_.size() == count && maxima_.size() == count && neighbours.shape(0) == count &&
                queries <= count && k1 >= 1 && k2 >= 1 && width > k1 && width >= k2);
        const std::int32_t* const end = neighbours.data() + count * width;
        for (const std::int32_t* n = neighbours.data(); n != end; ++n) {
            require(*n >= 0 && static_cast<std::size_t>(*n) < count);
        }
        const nb::gil_scoped_release release;
        encoding_ = edgereid::encode({features.data(), maxima_.data(), count, features.shape(1)},
                                     neighbours.data(), width, k1, k2, threads);
        inverted_ = edgereid::invert(encoding_, queries, count - queries, count);
    }

    // The gallery is in the last columns of `products`.
    void mix(const Matrix& products, std::size_t first, float weight, const MutableMatrix& out,
             unsigned threads) const {
        const std::size_t gallery = squares_.size() - queries_;
        const std::size_t rows = out.shape(0), pitch = products.shape(1);
        require(products.shape(0) == rows && pitch >= gallery && out.shape(1) == gallery &&
                first <= queries_ && rows <= queries_ - first);
        const nb::gil_scoped_release release;
        const edgereid::Encoded images{squares_.data(), maxima_.data(), encoding_, inverted_,
                                       queries_, gallery};
        edgereid::mix(products.data() + (pitch - gallery), pitch, first, rows, images, weight,
                      out.data(), threads);
    }

private:
    std::vector<float> squares_, maxima_;
    std::size_t queries_;
    edgereid::SparseRows encoding_, inverted_;
};

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
    nb::class_<NearestTable>(module, "NearestTable")
        .def(nb::init<const Floats&, std::size_t>(), nb::arg("squares").noconvert(),
             nb::arg("neighbours"))
        .def("add", &NearestTable::add, nb::arg("block").noconvert(), nb::arg("threads"))
        .def("finish", &NearestTable::finish, nb::arg("indices").noconvert(),
             nb::arg("maxima").noconvert());
    nb::class_<ReciprocalEncoding>(module, "ReciprocalEncoding")
        .def(nb::init<const Matrix&, const Floats&, const Floats&, const Table&, std::size_t,
                      std::size_t, std::size_t, unsigned>(),
             nb::arg("features").noconvert(), nb::arg("squares").noconvert(),
             nb::arg("maxima").noconvert(), nb::arg("neighbours").noconvert(), nb::arg("queries"),
             nb::arg("k1"), nb::arg("k2"), nb::arg("threads"))
        .def("mix", &ReciprocalEncoding::mix, nb::arg("products").noconvert(), nb::arg("first"),
             nb::arg("weight"), nb::arg("out").noconvert(), nb::arg("threads"));
}
