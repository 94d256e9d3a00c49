#include "broker/storage/rocksdb_database.hpp"

#include <rocksdb/cache.h>
#include <rocksdb/utilities/checkpoint.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <utility>

#include "broker/storage/rocksdb_copies.hpp"
#include "broker/storage/rocksdb_directory.hpp"
#include "broker/storage/rocksdb_error.hpp"
#include "broker/storage/rocksdb_keys.hpp"
#include "broker/storage/rocksdb_log_files.hpp"
#include "broker/storage/rocksdb_log_records.hpp"
#include "broker/storage/rocksdb_read_ahead.hpp"
#include "broker/storage/rocksdb_room.hpp"
#include "broker/storage/rocksdb_tuning.hpp"

namespace millrace::storage {
namespace {

constexpr std::size_t batch_overhead = 64;         // of a key and its lengths in a batch, rounded up
constexpr std::size_t kept_batch_bytes = 2u << 20;  // a write of waiting groups fits; one huge group has a batch of its own

rocksdb::Slice slice_of(const std::vector<std::byte>& bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Puts mutations into a batch; the handles say where.
struct batch_writer {
    rocksdb::WriteBatch& batch;
    rocksdb::ColumnFamilyHandle* rows;
    rocksdb::ColumnFamilyHandle* entries;

    rocksdb::Status operator()(const core::append_entry& append) {
        return batch.Put(entries, entry_key(append.partition, append.last), slice_of(*append.bytes));
    }
    rocksdb::Status operator()(const core::free_entry& freed) { return batch.SingleDelete(entries, entry_key(freed.partition, freed.last)); }
    rocksdb::Status operator()(const core::drop_partition& dropped) {
        return batch.DeleteRange(entries, entry_key(dropped.partition, {0}), entry_keys_end(dropped.partition));
    }
    rocksdb::Status operator()(const core::put_row& put) { return batch.Put(rows, put.key, put.value); }
    rocksdb::Status operator()(const core::erase_row& erased) { return batch.Delete(rows, erased.key); }
    rocksdb::Status operator()(const core::erase_rows& erased) {
        if (erased.range.begin >= erased.range.end) {
            return rocksdb::Status::OK();
        }
        return batch.DeleteRange(rows, erased.range.begin, erased.range.end);
    }
};

std::size_t reserved_for(std::span<const pending_commit> groups) {
    std::size_t bytes = batch_overhead;
    for (const auto& commit : groups) {
        bytes += commit.verdict ? 0 : commit.bytes + commit.group.size() * batch_overhead;
    }
    return bytes;
}

error in_use(const rocksdb_options& options) {
    return {errc::store_in_use, "the store " + options.directory.string() + " is open in another process; stop that broker, or name another directory"};
}

void raise(std::atomic<std::uint64_t>& value, std::uint64_t to) {
    auto seen = value.load();
    while (seen < to && !value.compare_exchange_weak(seen, to)) {
    }
}

std::string words_of(const bad_spot& spot) {
    return std::to_string(spot.bytes) + " bytes at offset " + std::to_string(spot.offset) + " of " + log_file_name(spot.log) +
           (spot.bytes == 0 ? " (groups are missing in front of it)" : "");
}

/// Whether a store of ours is there; nothing is made and nothing is changed.
error check_presence(rocksdb::FileSystem& files, rocksdb::Env* env, const std::string& directory) {
    const error absent{errc::storage_failure, "there is no Millrace store in " + directory + "; name the directory that millraced --store rocksdb:DIR was given"};
    if (!files.FileExists(directory + "/CURRENT", {}, nullptr).ok()) {
        return absent;
    }
    rocksdb::DBOptions options;
    options.env = env;
    std::vector<std::string> families;
    const auto status = rocksdb::DB::ListColumnFamilies(options, directory, &families);
    if (!status.ok()) {
        return error_of(status, "the store " + directory + " does not open");
    }
    const auto has = [&](const char* name) { return std::find(families.begin(), families.end(), name) != families.end(); };
    return has("rows") && has("entries") ? error{} : absent;
}

std::vector<rocksdb::ColumnFamilyDescriptor> families_of(const rocksdb_options& options) {
    const auto cache = rocksdb::NewLRUCache(options.block_cache_bytes);
    return {
        {rocksdb::kDefaultColumnFamilyName, tuned_default(options)},
        {"rows", tuned_rows(options, cache)},
        {"entries", tuned_entries(options, cache)},
    };
}

/// What a closed store's tables hold, without its logs.
class no_logs final : public rocksdb::FileSystemWrapper {
public:
    using FileSystemWrapper::FileSystemWrapper;
    const char* Name() const override { return "no_logs"; }

    rocksdb::IOStatus GetChildren(const std::string& directory, const rocksdb::IOOptions& options, std::vector<std::string>* names,
                                  rocksdb::IODebugContext* debug) override {
        auto status = target()->GetChildren(directory, options, names, debug);
        std::erase_if(*names, [](const std::string& name) { return name.ends_with(".log"); });
        return status;
    }
};

/// The last RocksDB sequence in a closed store's tables; 0 when there is none.
result<std::uint64_t> last_in_tables(const rocksdb_options& options) {
    const auto env = rocksdb::NewCompositeEnv(std::make_shared<no_logs>(files_of(options)));
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
    rocksdb::DB* opened = nullptr;
    const auto status = rocksdb::DB::OpenForReadOnly(tuned_database(options, env.get(), false), options.directory.string(), families_of(options), &handles, &opened);
    if (!status.ok()) {
        return error_of(status, "the store " + options.directory.string() + " does not open");
    }
    const std::unique_ptr<rocksdb::DB> database(opened);
    std::vector<rocksdb::LiveFileMetaData> tables;
    database->GetLiveFilesMetaData(&tables);
    for (auto* handle : handles) {
        database->DestroyColumnFamilyHandle(handle).PermitUncheckedError();
    }
    const auto last = std::max_element(tables.begin(), tables.end(), [](const auto& a, const auto& b) { return a.largest_seqno < b.largest_seqno; });
    return last == tables.end() ? 0 : static_cast<std::uint64_t>(last->largest_seqno);
}

/// Looks at the logs that RocksDB would replay: damage is refused, or with options.salvage told and left out; a torn tail is cut.
/// REQUIRES that the store is locked.
error check_logs(rocksdb::FileSystem& files, const rocksdb_options& options) {
    const auto directory = options.directory.string();
    auto found = scan_logs(files, directory);
    if (!found) {
        return found.failure();
    }
    auto& logs = found.value();
    if (!logs.spots.empty() && !logs.damage()) {
        const auto in_tables = last_in_tables(options);
        if (!in_tables) {
            return in_tables.failure();  // nothing is cut before they have had their say
        }
        logs.believe_tables(in_tables.value());
    }
    const auto* damage = logs.damage();
    if (!damage) {
        return cut_torn_tail(files, directory, logs);
    }
    if (!options.salvage) {
        return {errc::corruption, "the store " + directory + " is damaged: " + words_of(*damage) +
                                      " held what had been synced and cannot be read; keep all the rest with --salvage, or restore a backup"};
    }
    for (const auto& spot : logs.spots) {
        options.tell("lost: " + words_of(spot));
    }
    return salvage_logs(files, directory, logs);
}

/// What must be looked at, and with options.salvage mended, before RocksDB sees it.
error check_files(rocksdb::FileSystem& files, rocksdb::Env& env, const rocksdb_options& options) {
    const auto directory = options.directory.string();
    rocksdb::FileLock* lock = nullptr;  // another process's logs are not whole, and not ours to cut
    if (!files.LockFile(directory + "/LOCK", {}, &lock, nullptr).ok()) {
        return in_use(options);
    }
    error refused = mend_manifest(files, directory, options.tell);
    if (options.salvage) {
        mend_tables(files, env, directory, options.tell);
    } else {
        mend_unchecked_tables(files, env, directory, options.tell);
    }
    if (!refused) {
        refused = check_logs(files, options);
    }
    files.UnlockFile(lock, {}, nullptr).PermitUncheckedError();
    return refused;
}

}  // namespace

result<std::unique_ptr<rocksdb_database>> rocksdb_database::open(const rocksdb_options& options, rocksdb_disk& disk) {
    std::unique_ptr<rocksdb_database> opened(new rocksdb_database);
    const auto files = files_of(options);
    const auto insistent = making_room(files, options.directory.string(), [&disk](std::uint64_t bytes) { return disk.make_room(bytes); });
    opened->logs_ = std::make_shared<log_files>(keeping_copies(insistent), options.level >= durability::disk, &disk.spares());
    opened->env_ = rocksdb::NewCompositeEnv(reading_ahead(opened->logs_));
    bool direct_io = false;
    if (options.examine) {
        if (error refused = check_presence(*files, opened->env_.get(), options.directory.string())) {
            return refused;
        }
    }
    if (error refused = prepare_directory(*files, options.directory.string(), direct_io)) {
        return refused;
    }
    if (error refused = check_files(*files, *opened->env_, options)) {
        return refused;
    }
    if (error refused = opened->open_families(options, direct_io)) {
        return is_locked(*files, options.directory.string()) ? in_use(options) : refused;
    }
    if (error refused = opened->begin_marks()) {
        return refused;
    }
    if (error refused = opened->check_format()) {
        return refused;
    }
    if (options.examine) {
        return opened;
    }
    drop_lone_copies(*files, options.directory.string());
    disk.spares().drop_leftovers();
    opened->reclaim_ = std::make_unique<rocksdb_reclaim>(*opened->database_, rocksdb_reclaim::families{opened->own_, opened->rows_, opened->entries_}, disk,
                                                         [database = opened.get()] { database->leave_mark(); });
    return opened;
}

rocksdb_database::~rocksdb_database() {
    reclaim_.reset();
    if (!database_) {
        return;
    }
    leave_mark();
    for (auto* family : {own_, rows_, entries_}) {
        database_->DestroyColumnFamilyHandle(family).PermitUncheckedError();
    }
    database_->Close().PermitUncheckedError();  // a database that failed says so again; recovery is open()'s work
}

error rocksdb_database::open_families(const rocksdb_options& options, bool direct_io) {
    auto families = families_of(options);
    for (auto& family : families) {
        family.options.disable_auto_compactions = options.examine;
    }
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
    rocksdb::DB* database = nullptr;
    const auto status =
        rocksdb::DB::Open(tuned_database(options, env_.get(), direct_io), options.directory.string(), families, &handles, &database);
    if (!status.ok()) {
        return error_of(status, "the store " + options.directory.string() + " does not open");
    }
    database_.reset(database);
    own_ = handles[0];
    rows_ = handles[1];
    entries_ = handles[2];
    reader_ = std::make_unique<rocksdb_reader>(*database_, rows_, entries_);
    return {};
}

error rocksdb_database::check_format() {
    std::string found;
    const auto status = database_->Get({}, own_, std::string(format_key), &found);
    if (status.IsNotFound()) {  // new, or left by a process that ended while making it
        error failed = put(std::string(format_key), std::string(format_version), "a new store cannot be written");
        return failed ? failed : sync();
    }
    if (!status.ok()) {
        return error_of(status, "the store's format cannot be read");
    }
    if (found != format_version) {
        return {errc::storage_failure, "the store has format " + found + "; this program reads format " + std::string(format_version)};
    }
    return {};
}

error rocksdb_database::write(std::span<const pending_commit> groups) {
    const auto bytes = reserved_for(groups);
    auto batch = take_batch(bytes);
    const auto told = encode(mark());
    batch->PutLogData({told.data(), told.size()}).PermitUncheckedError();
    batch_writer writer{*batch, rows_, entries_};
    for (const auto& commit : groups) {
        if (commit.verdict) {
            continue;
        }
        for (const auto& mutation : commit.group) {
            const auto status = std::visit(writer, mutation);
            if (!status.ok()) {
                return error_of(status, "a group cannot be written");
            }
        }
    }
    const auto status = database_->Write({}, batch.get());
    if (!status.ok()) {
        failed_ = true;
        return error_of(status, "writing the log failed");
    }
    for (const auto& commit : groups) {
        if (commit.verdict) {
            continue;
        }
        reader_->note(commit.group);
        if (reclaim_) {
            reclaim_->note(commit.group);
        }
    }
    give_back(std::move(batch), bytes);
    return {};
}

// Batches may be written while it syncs, on another thread: it vouches for those that were there before.
error rocksdb_database::sync() {
    const auto written = database_->GetLatestSequenceNumber();
    if (error failed = logs_->sync()) {
        failed_ = true;
        return failed;
    }
    raise(synced_sequence_, written);
    return {};
}

error rocksdb_database::begin_marks() {
    std::string session;
    auto status = database_->GetDbSessionId(session);
    std::unique_ptr<rocksdb::LogFile> log;
    if (status.ok()) {
        status = database_->GetCurrentWalFile(&log);
    }
    if (!status.ok()) {
        return error_of(status, "the store's log cannot be found");
    }
    incarnation_ = std::hash<std::string>{}(session);
    first_log_ = log->LogNumber();
    synced_sequence_ = marked_sequence_ = database_->GetLatestSequenceNumber();  // recovery has moved what there was into files
    return {};
}

synced_mark rocksdb_database::mark() const {
    return {incarnation_, first_log_, synced_sequence_.load()};
}

/// When no batch follows to tell that the last ones were synced. It need not be synced itself: it proves by being there.
void rocksdb_database::leave_mark() {
    const auto told = mark();
    if (failed_ || marked_sequence_ >= told.sequence) {
        return;
    }
    const auto bytes = encode(told);
    rocksdb::WriteBatch batch;
    batch.PutLogData({bytes.data(), bytes.size()}).PermitUncheckedError();
    database_->Write({}, &batch).PermitUncheckedError();
    logs_->write();
    raise(marked_sequence_, told.sequence);
}

error rocksdb_database::put(const std::string& key, const std::string& value, const std::string& doing) {
    const auto told = encode(mark());
    rocksdb::WriteBatch batch;
    batch.PutLogData({told.data(), told.size()}).PermitUncheckedError();
    batch.Put(own_, key, value).PermitUncheckedError();
    error failed = error_of(database_->Write({}, &batch), doing);
    failed_ = failed_ || failed;
    return failed;
}

result<core::fencing_epoch> rocksdb_database::raise_epoch(core::shard_id shard) {
    std::string found;
    core::fencing_epoch epoch{};
    const auto status = database_->Get({}, own_, epoch_key(shard), &found);
    if (!status.ok() && !status.IsNotFound()) {
        return error_of(status, "the shard's fencing epoch cannot be read");
    }
    if (status.ok() && !parse_epoch_value(found, epoch)) {
        return error{errc::corruption, "the shard's fencing epoch is not a number"};
    }
    epoch = core::fencing_epoch{static_cast<std::uint64_t>(epoch) + 1};
    if (error refused = put(epoch_key(shard), epoch_value(epoch), "the shard's fencing epoch cannot be written")) {
        return refused;
    }
    if (error refused = sync()) {
        return refused;
    }
    return epoch;
}

error rocksdb_database::checkpoint(const std::filesystem::path& dir) {
    rocksdb::Checkpoint* made = nullptr;
    auto status = rocksdb::Checkpoint::Create(database_.get(), &made);
    const std::unique_ptr<rocksdb::Checkpoint> checkpoint(made);
    if (status.ok()) {
        status = checkpoint->CreateCheckpoint(dir.string());
    }
    return error_of(status, "the checkpoint " + dir.string() + " cannot be made (it must be a new directory on the store's disk)");
}

// Reserved in full before it is filled: a batch that grows copies what it holds. Usual ones are used again, for fresh memory costs page faults.
std::unique_ptr<rocksdb::WriteBatch> rocksdb_database::take_batch(std::size_t bytes) {
    if (bytes > kept_batch_bytes) {
        return std::make_unique<rocksdb::WriteBatch>(bytes);
    }
    std::lock_guard lock(spare_mutex_);
    if (spare_.empty()) {
        return std::make_unique<rocksdb::WriteBatch>(kept_batch_bytes);
    }
    auto batch = std::move(spare_.back());
    spare_.pop_back();
    return batch;
}

void rocksdb_database::give_back(std::unique_ptr<rocksdb::WriteBatch> batch, std::size_t bytes) {
    if (bytes > kept_batch_bytes) {
        return;
    }
    batch->Clear();
    std::lock_guard lock(spare_mutex_);
    spare_.push_back(std::move(batch));
}

}  // namespace millrace::storage
