// Tests of the C++ kernels without Python: plain checks against slow definitions.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include "histogram.hpp"
#include "nearest.hpp"
#include "ranks.hpp"
#include "rerank.hpp"

#define CHECK(condition)                                                             \
    do {                                                                             \
        if (!(condition)) {                                                          \
            std::fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
            std::exit(1);                                                            \
        }                                                                            \
    } while (false)

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

void ranks_are_those_of_a_stable_sort() {
    std::mt19937 random(1);
    const std::size_t rows = 7, columns = 101;
    for (int levels : {1, 3, 1000}) {  // 1: all distances equal
        std::vector<float> distances(rows * columns);
        for (float& d : distances) d = static_cast<float>(random() % static_cast<unsigned>(levels));
        std::vector<std::int64_t> offsets{0}, matches, ignored_offsets{0}, ignored, expected;
        for (std::size_t r = 0; r < rows; ++r) {
            std::vector<std::pair<float, std::int64_t>> order;
            std::vector<std::int64_t> wanted;
            for (std::size_t j = 0; j < columns; ++j) {
                const unsigned kind = static_cast<unsigned>(random() % 6);
                const auto index = static_cast<std::int64_t>(j);
                if (kind == 0) ignored.push_back(index);
                else order.emplace_back(distances[r * columns + j], index);
                if (kind == 1 && r != 3) wanted.push_back(index);  // row 3 has no match
            }
            std::sort(order.begin(), order.end());
            for (std::size_t k = 0; k < order.size(); ++k) {
                if (std::find(wanted.begin(), wanted.end(), order[k].second) != wanted.end())
                    expected.push_back(static_cast<std::int64_t>(k) + 1);
            }
            matches.insert(matches.end(), wanted.begin(), wanted.end());
            offsets.push_back(static_cast<std::int64_t>(matches.size()));
            ignored_offsets.push_back(static_cast<std::int64_t>(ignored.size()));
        }
        for (unsigned threads : {0u, 1u, 3u, 64u}) {
            std::vector<std::int64_t> ranks(matches.size(), -1);
            edgereid::match_ranks(distances.data(), rows, columns, {offsets.data(), matches.data()},
                                  {ignored_offsets.data(), ignored.data()}, ranks.data(), threads);
            CHECK(ranks == expected);
        }
    }
}

void index_lists_that_do_not_fit_are_found() {
    const std::vector<std::int64_t> indices{0, 4, 2};
    const auto fits = [&](std::vector<std::int64_t> offsets, std::size_t columns) {
        return edgereid::valid({offsets.data(), indices.data()}, 2, 3, columns);
    };
    CHECK(fits({0, 2, 3}, 5));
    CHECK(fits({0, 0, 3}, 5));
    CHECK(!fits({0, 2, 3}, 4));   // index 4 of 4 columns
    CHECK(!fits({1, 2, 3}, 5));   // does not start at 0
    CHECK(!fits({0, 2, 2}, 5));   // does not end at 3
    CHECK(!fits({0, 4, 3}, 5));   // goes back
    CHECK(!fits({0, -1, 3}, 5));
}

void the_range_is_that_of_the_finite_values() {
    std::mt19937 random(2);
    std::normal_distribution<float> normal;
    for (std::size_t size : {1u, 15u, 16u, 17u, 2047u, 2048u, 2049u, 10001u}) {
        std::vector<float> values(size);
        for (float& v : values) v = normal(random);
        edgereid::Range range = edgereid::min_max(values.data(), size);
        CHECK(range.min == *std::min_element(values.begin(), values.end()));
        CHECK(range.max == *std::max_element(values.begin(), values.end()));
        CHECK(range.nonfinite == 0);
        const float first = values[0];
        values[size / 2] = kNan;
        values[size - 1] = -kInfinity;
        values[0] = kInfinity;
        range = edgereid::min_max(values.data(), size);
        std::vector<float> finite;
        for (float v : values) if (std::isfinite(v)) finite.push_back(v);
        CHECK(range.nonfinite == size - finite.size());
        if (!finite.empty()) {
            CHECK(range.min == *std::min_element(finite.begin(), finite.end()));
            CHECK(range.max == *std::max_element(finite.begin(), finite.end()));
        } else {
            CHECK(range.min == kInfinity && range.max == -kInfinity);
        }
        values[0] = first;
    }
    CHECK(edgereid::min_max(nullptr, 0).min == kInfinity);
}

void every_value_is_counted_in_its_bin() {
    std::mt19937 random(3);
    std::normal_distribution<float> normal;
    for (std::size_t half : {1u, 2u, 64u, 2048u}) {
        std::vector<float> values(5003);
        for (float& v : values) v = normal(random);
        const float edges[] = {0.0f, -0.0f, 1.0f, -1.0f, 4.0f, -4.0f, 1e30f, -1e30f, kInfinity, -kInfinity};
        values.insert(values.end(), std::begin(edges), std::end(edges));
        const float inverse_width = static_cast<float>(half) / 4.0f;
        std::vector<std::int64_t> counts(2 * half, 5), expected(2 * half, 5);  // adds to what is there
        for (float v : values) {
            const double bin = std::floor(static_cast<double>(v * inverse_width)) + static_cast<double>(half);
            ++expected[static_cast<std::size_t>(
                std::min(std::max(bin, 0.0), static_cast<double>(2 * half - 1)))];
        }
        CHECK(edgereid::histogram_add(values.data(), values.size(), inverse_width, counts.data(), half));
        CHECK(counts == expected);
        values.back() = kNan;
        CHECK(!edgereid::histogram_add(values.data(), values.size(), inverse_width, counts.data(), half));
        CHECK(counts == expected);  // refused whole
    }
}

// -2 x.y of images on a line of whole numbers, so that every product is exact.
std::vector<float> products(const std::vector<float>& x, std::size_t first, std::size_t last,
                            std::size_t from) {
    std::vector<float> block;
    for (std::size_t i = first; i < last; ++i) {
        for (std::size_t j = from; j < x.size(); ++j) block.push_back(-2.0f * x[i] * x[j]);
    }
    return block;
}

std::vector<float> line(std::size_t count, unsigned levels) {
    std::mt19937 random(3);
    std::vector<float> x(count);
    for (float& v : x) v = static_cast<float>(random() % levels);
    return x;
}

void neighbours_are_those_of_a_stable_sort() {
    for (const unsigned levels : {1u, 5u, 1000u}) {
        const std::size_t count = 301, wanted = 8;
        const std::vector<float> x = line(count, levels);
        std::vector<float> squares;
        for (float v : x) squares.push_back(v * v);
        edgereid::NearestTable table(squares, wanted);
        for (const std::size_t rows : {1u, 50u, 170u, 80u}) {
            auto block = products(x, table.done(), table.done() + rows, table.done());
            table.add(block.data(), rows, 3);
        }
        std::vector<std::int32_t> indices(count * wanted);
        std::vector<float> maxima(count);
        table.finish(indices.data(), maxima.data(), 2);
        for (std::size_t i = 0; i < count; ++i) {
            std::vector<std::pair<float, std::size_t>> order;
            float furthest = 0.0f;
            for (std::size_t j = 0; j < count; ++j) {
                const float d = (x[i] - x[j]) * (x[i] - x[j]);
                furthest = std::max(furthest, d);
                order.emplace_back(j == i ? -1.0f : d, j);
            }
            std::sort(order.begin(), order.end());
            CHECK(maxima[i] == furthest);
            for (std::size_t n = 0; n < wanted; ++n) {
                CHECK(static_cast<std::size_t>(indices[i * wanted + n]) == order[n].second);
            }
        }
    }
}

void encodings_have_sum_one_and_mixing_with_weight_one_gives_the_distances() {
    const std::size_t count = 60, queries = 20, wanted = 6;
    const std::vector<float> x = line(count, 1000);
    std::vector<float> squares, maxima(count);
    for (float v : x) squares.push_back(v * v);
    edgereid::NearestTable table(squares, wanted);
    auto block = products(x, 0, count, 0);
    table.add(block.data(), count, 2);
    std::vector<std::int32_t> indices(count * wanted);
    table.finish(indices.data(), maxima.data(), 1);
    const auto encoding = edgereid::encode({x.data(), maxima.data(), count, 1}, indices.data(), wanted, 5, 3, 2);
    CHECK(encoding.offsets.size() == count + 1);
    for (std::size_t i = 0; i < count; ++i) {
        double sum = 0.0;
        bool itself = false;
        for (auto e = static_cast<std::size_t>(encoding.offsets[i]); e < static_cast<std::size_t>(encoding.offsets[i + 1]); ++e) {
            sum += static_cast<double>(encoding.values[e]);
            itself = itself || encoding.indices[e] == static_cast<std::int32_t>(i);
        }
        CHECK(itself);
        CHECK(std::abs(sum - 1.0) < 1e-5);
    }
    const auto inverted = edgereid::invert(encoding, queries, count - queries, count);
    std::vector<float> mixed;
    for (std::size_t i = 0; i < queries; ++i) {
        for (std::size_t j = queries; j < count; ++j) mixed.push_back(-2.0f * x[i] * x[j]);
    }
    edgereid::mix(mixed.data(), queries, count - queries, 0, queries, squares.data(), 1.0f, maxima.data(), encoding, inverted, 2);
    for (std::size_t i = 0; i < queries; ++i) {
        for (std::size_t j = queries; j < count; ++j) {
            const float want = (x[i] - x[j]) * (x[i] - x[j]) / maxima[i];
            CHECK(std::abs(mixed[i * (count - queries) + j - queries] - want) < 1e-6f);
        }
    }
}

}  // namespace

int main() {
    neighbours_are_those_of_a_stable_sort();
    encodings_have_sum_one_and_mixing_with_weight_one_gives_the_distances();
    ranks_are_those_of_a_stable_sort();
    index_lists_that_do_not_fit_are_found();
    the_range_is_that_of_the_finite_values();
    every_value_is_counted_in_its_bin();
    std::puts("all kernel tests passed");
}
