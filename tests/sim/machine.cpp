#include "tests/sim/machine.hpp"

#include "broker/storage/memory_store.hpp"

namespace millrace::sim {
namespace {

class memory_machine final : public machine {
public:
    explicit memory_machine(random_source& random) : random_(random), engine_(storage::make_memory_store()) {}

    durability level() const override { return engine_->level(); }
    storage::store& engine() override { return *engine_; }

    std::vector<core::fencing_epoch> open(std::uint32_t shards) override {
        std::vector<core::fencing_epoch> epochs;
        for (std::uint32_t shard = 0; shard < shards; ++shard) epochs.push_back(engine_->open(core::shard_id{shard}).value());
        return epochs;
    }

    std::vector<error> commit(std::vector<group> groups) override {
        std::vector<error> outcomes;
        for (auto& g : groups)
            engine_->commit(g.shard, g.epoch, std::move(g.mutations), [&](error outcome) { outcomes.push_back(std::move(outcome)); });
        return outcomes;
    }

    void crash(std::vector<group> under_way) override {
        under_way.resize(random_.below(under_way.size() + 1));
        commit(std::move(under_way));
    }

private:
    random_source& random_;
    const std::unique_ptr<storage::store> engine_;
};

}  // namespace

std::unique_ptr<machine> make_memory_machine(random_source& random) {
    return std::make_unique<memory_machine>(random);
}

}  // namespace millrace::sim
