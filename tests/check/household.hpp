// A store that somebody has lived in: topics, subscriptions in every state, named producers; made by the broker's own driver.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "broker/check/check.hpp"
#include "broker/core/row.hpp"
#include "broker/driver/driver.hpp"
#include "broker/storage/store.hpp"
#include "tests/scratch_directory.hpp"

namespace millrace::check::testing {

class household {
public:
    /// Topic "photos" (id 1, two partitions) and "dead" (id 2). In partition 0 of photos: 10 entries of 3 messages. Subscription "thumbs" (id 1) has settled
    /// 0-2, 6-8 and 12, has 13 waiting after a failure and 14 parked, and holds nothing; "slow" (id 2) has settled nothing; "mail" (id 3) with dead letters
    /// to "dead" has 4 dead, on its way, for its target takes nothing. The entry of 6-8 stands, for slow needs it.
    explicit household(std::unique_ptr<storage::store> store);

    storage::store& store() { return *store_; }
    std::unique_ptr<storage::store> take() { return std::move(store_); }

    /// Changes what is stored behind everybody's back.
    void commit(std::vector<core::mutation> mutations);
    void put(core::row r) { commit({core::put_row{r.key, r.value}}); }
    void erase(const std::string& key) { commit({core::erase_row{key}}); }
    core::row row_at(const std::string& key);

    /// Refusals and quarantines of a broker that starts on it.
    std::vector<std::string> broker_says();

    /// How often each state of a subscription is met, as a broker that starts on it counts; in partition 0.
    core::answers::progress_info progress(const std::string& topic, const std::string& subscription);

private:
    core::any_answer ask(const core::any_input& in);
    void publish(core::partition_id where, std::uint32_t count, const std::string& payload, core::batch_claim claim = {});
    void settle();
    void start();

    std::unique_ptr<storage::store> store_;
    std::unique_ptr<driver::driver> driver_;
    core::fencing_epoch epoch_{};
    timestamp now_{std::chrono::seconds{1}};
    std::vector<core::answer> answers_;
};

/// An entry as the driver writes it.
core::entry_bytes entry_of(sequence first, std::uint32_t count, const std::string& payload);

}  // namespace millrace::check::testing
