// Rows shared out to threads, a few at a time.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

namespace edgereid {

// Calls work(row) for every row below `rows`, each once, on at most `threads` threads. A thread gets
// its own `make_worker()`, so that it may keep buffers from row to row, and `at_once` rows a time.
template <typename MakeWorker>
void for_each_row(std::size_t rows, unsigned threads, const MakeWorker& make_worker,
                  std::size_t at_once = 16) {
    std::atomic<std::size_t> next{0};
    const auto run = [&] {
        auto worker = make_worker();
        for (std::size_t start = next.fetch_add(at_once); start < rows; start = next.fetch_add(at_once)) {
            const std::size_t stop = std::min(rows, start + at_once);
            for (std::size_t row = start; row < stop; ++row) worker(row);
        }
    };
    const std::size_t helpers = std::min<std::size_t>(threads, (rows + at_once - 1) / at_once);
    std::vector<std::thread> pool;
    for (std::size_t t = 1; t < helpers; ++t) pool.emplace_back(run);
    run();
    for (std::thread& thread : pool) thread.join();
}

}  // namespace edgereid
