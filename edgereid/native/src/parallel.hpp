// Rows shared out to threads, a few at a time.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace edgereid {

// Calls work(row) for every row below `rows`, each once, on at most `threads` threads. A thread gets
// its own `make_worker()`, so that it may keep buffers from row to row, and `at_once` rows a time.
// What a worker throws (memory runs out) is thrown here, once all threads have ended.
template <typename MakeWorker>
void for_each_row(std::size_t rows, unsigned threads, const MakeWorker& make_worker,
                  std::size_t at_once = 16) {
    std::atomic<std::size_t> next{0};
    std::exception_ptr failure;
    std::once_flag first;
    const auto run = [&] {
        try {
            auto worker = make_worker();
            for (std::size_t start = next.fetch_add(at_once); start < rows; start = next.fetch_add(at_once)) {
                const std::size_t stop = std::min(rows, start + at_once);
                for (std::size_t row = start; row < stop; ++row) worker(row);
            }
        } catch (...) {
            std::call_once(first, [&] { failure = std::current_exception(); });
        }
    };
    const std::size_t helpers = std::min<std::size_t>(threads, (rows + at_once - 1) / at_once);
    std::vector<std::thread> pool;
    pool.reserve(helpers);
    try {
        for (std::size_t t = 1; t < helpers; ++t) pool.emplace_back(run);
    } catch (const std::system_error&) {  // the system grants no more: fewer do the same work
    }
    run();
    for (std::thread& thread : pool) thread.join();
    if (failure) std::rethrow_exception(failure);
}

}  // namespace edgereid
