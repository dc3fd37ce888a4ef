// Tests of the C++ kernels without Python: plain checks against slow definitions.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <new>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "histogram.hpp"
#include "nearest.hpp"
#include "parallel.hpp"
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
            // Blocks may have columns in front that are not looked at.
            const std::size_t first = table.done(), from = first % 2 == 0 ? first : first - 1;
            const auto block = products(x, first, first + rows, from);
            table.add(block.data() + (first - from), rows, count - from, 3);
        }
        std::vector<std::int32_t> indices(count * wanted);
        std::vector<float> maxima(count);
        table.finish(indices.data(), maxima.data());
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
    const std::size_t count = 60, queries = 20, gallery = count - queries, wanted = 6;
    const std::vector<float> x = line(count, 1000);
    std::vector<float> squares, maxima(count);
    for (float v : x) squares.push_back(v * v);
    edgereid::NearestTable table(squares, wanted);
    const auto all = products(x, 0, count, 0);
    table.add(all.data(), count, count, 2);
    std::vector<std::int32_t> indices(count * wanted);
    table.finish(indices.data(), maxima.data());
    const auto encoding = edgereid::encode({x.data(), maxima.data(), count, 1}, indices.data(), wanted, 5, 3, 2);
    CHECK(encoding.offsets.size() == count + 1);
    for (std::size_t i = 0; i < count; ++i) {
        double sum = 0.0;
        bool itself = false;
        for (std::size_t e = encoding.offsets[i]; e < encoding.offsets[i + 1]; ++e) {
            const auto* const first = encoding.indices.data() + encoding.offsets[i];
            CHECK(std::count(first, encoding.indices.data() + encoding.offsets[i + 1], encoding.indices[e]) == 1);
            sum += static_cast<double>(encoding.values[e]);
            itself = itself || encoding.indices[e] == static_cast<std::int32_t>(i);
        }
        CHECK(itself);
        CHECK(std::abs(sum - 1.0) < 1e-5);
    }
    const auto inverted = edgereid::invert(encoding, queries, gallery, count);
    const edgereid::Encoded images{squares.data(), maxima.data(), encoding, inverted, queries, gallery};
    std::vector<float> mixed(queries * gallery);
    edgereid::mix(all.data() + queries, count, 0, queries, images, 1.0f, mixed.data(), 2);
    for (std::size_t i = 0; i < queries; ++i) {
        for (std::size_t j = 0; j < gallery; ++j) {
            const float d = x[i] - x[queries + j];
            CHECK(std::abs(mixed[i * gallery + j] - d * d / maxima[i]) < 1e-6f);
        }
    }
    // Weight 0: the Jaccard distance of the encodings written out as dense rows.
    edgereid::mix(all.data() + queries, count, 0, queries, images, 0.0f, mixed.data(), 2);
    const auto dense = [&](std::size_t i) {
        std::vector<float> row(count, 0.0f);
        for (std::size_t e = encoding.offsets[i]; e < encoding.offsets[i + 1]; ++e) {
            row[static_cast<std::size_t>(encoding.indices[e])] = encoding.values[e];
        }
        return row;
    };
    for (std::size_t i = 0; i < queries; ++i) {
        for (std::size_t j = 0; j < gallery; ++j) {
            const auto a = dense(i), b = dense(queries + j);
            float least = 0.0f, most = 0.0f;
            for (std::size_t k = 0; k < count; ++k) {
                least += std::min(a[k], b[k]);
                most += std::max(a[k], b[k]);
            }
            CHECK(std::abs(mixed[i * gallery + j] - (1.0f - least / most)) < 1e-5f);
        }
    }
}

// The paper's equations 5 to 7 and 11 with sets and dense rows.
std::vector<std::vector<double>> written_out(const std::vector<float>& x, const std::vector<float>& maxima,
                                             const std::vector<std::int32_t>& table, std::size_t width,
                                             std::size_t k1, std::size_t k2) {
    const auto reciprocal = [&](std::size_t image, std::size_t k) {
        std::set<std::size_t> out;
        for (std::size_t n = 0; n < k; ++n) {
            const auto other = static_cast<std::size_t>(table[image * width + n]);
            const auto* const row = table.data() + other * width;
            if (std::count(row, row + k, static_cast<std::int32_t>(image)) == 1) out.insert(other);
        }
        return out;
    };
    const std::size_t half = static_cast<std::size_t>(std::nearbyint(static_cast<double>(k1) / 2.0)) + 1;
    std::vector<std::vector<double>> rows(x.size(), std::vector<double>(x.size(), 0.0));
    for (std::size_t i = 0; i < x.size(); ++i) {
        const auto own = reciprocal(i, k1 + 1);
        auto all = own;
        for (const std::size_t j : own) {
            const auto other = reciprocal(j, half);
            const auto common = std::count_if(other.begin(), other.end(), [&](std::size_t o) { return own.count(o) == 1; });
            if (3 * static_cast<std::size_t>(common) > 2 * other.size()) all.insert(other.begin(), other.end());
        }
        double sum = 0.0;
        for (const std::size_t j : all) sum += rows[i][j] = std::exp(-(x[i] - x[j]) * (x[i] - x[j]) / maxima[i]);
        for (double& value : rows[i]) value /= sum;
    }
    auto out = rows;
    for (std::size_t i = 0; i < x.size(); ++i) {
        for (std::size_t j = 0; j < x.size(); ++j) {
            out[i][j] = 0.0;
            for (std::size_t n = 0; n < k2; ++n) {
                out[i][j] += rows[static_cast<std::size_t>(table[i * width + n])][j] / static_cast<double>(k2);
            }
        }
    }
    return out;
}

void encodings_are_those_of_the_papers_sets() {
    const std::size_t count = 80, width = 10;
    for (const unsigned levels : {9u, 1000u}) {
        const std::vector<float> x = line(count, levels);
        std::vector<float> squares, maxima(count);
        for (float v : x) squares.push_back(v * v);
        edgereid::NearestTable near(squares, width);
        const auto all = products(x, 0, count, 0);
        near.add(all.data(), count, count, 2);
        std::vector<std::int32_t> table(count * width);
        near.finish(table.data(), maxima.data());
        for (const std::size_t k1 : {1u, 3u, 5u, 6u, 9u}) {
            for (const std::size_t k2 : {1u, 4u, 10u}) {
                const auto want = written_out(x, maxima, table, width, k1, k2);
                const auto got = edgereid::encode({x.data(), maxima.data(), count, 1}, table.data(), width, k1, k2, 2);
                for (std::size_t i = 0; i < count; ++i) {
                    std::vector<double> row(count, 0.0);
                    for (std::size_t e = got.offsets[i]; e < got.offsets[i + 1]; ++e) {
                        row[static_cast<std::size_t>(got.indices[e])] += static_cast<double>(got.values[e]);
                    }
                    for (std::size_t j = 0; j < count; ++j) CHECK(std::abs(row[j] - want[i][j]) < 1e-5);
                }
            }
        }
    }
}

void every_row_is_done_once_and_what_a_worker_throws_arrives() {
    for (unsigned threads : {0u, 1u, 3u, 64u}) {
        std::vector<std::atomic<int>> seen(1001);
        edgereid::for_each_row(seen.size(), threads, [&] { return [&](std::size_t r) { ++seen[r]; }; });
        CHECK(std::all_of(seen.begin(), seen.end(), [](const auto& n) { return n == 1; }));
        bool arrived = false;
        try {
            edgereid::for_each_row(seen.size(), threads, [] {
                return [](std::size_t r) { if (r == 500) throw std::bad_alloc(); };
            });
        } catch (const std::bad_alloc&) {
            arrived = true;
        }
        CHECK(arrived);
    }
}

}  // namespace

int main() {
    every_row_is_done_once_and_what_a_worker_throws_arrives();
    encodings_are_those_of_the_papers_sets();
    neighbours_are_those_of_a_stable_sort();
    encodings_have_sum_one_and_mixing_with_weight_one_gives_the_distances();
    ranks_are_those_of_a_stable_sort();
    index_lists_that_do_not_fit_are_found();
    the_range_is_that_of_the_finite_values();
    every_value_is_counted_in_its_bin();
    std::puts("all kernel tests passed");
}
