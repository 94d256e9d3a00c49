#include "broker/storage/rocksdb_copies.hpp"

#include <rocksdb/sst_file_reader.h>

#include <algorithm>
#include <cctype>
#include <utility>
#include <vector>

#include "broker/storage/rocksdb_files.hpp"
#include "broker/storage/rocksdb_log_scan.hpp"

namespace millrace::storage {
namespace {

using IO = rocksdb::IOStatus;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::Slice;

const IOOptions plain;
constexpr std::string_view copy_suffix = ".copy";
constexpr std::string_view manifest_prefix = "MANIFEST-";

std::string copy_of(const std::string& path) { return path + std::string(copy_suffix); }

std::string_view name_in(std::string_view path) { return path.substr(path.rfind('/') + 1); }

bool is_table(std::string_view path) { return path.ends_with(".sst"); }

bool is_manifest(std::string_view path) {
    const auto name = name_in(path);
    return name.starts_with(manifest_prefix) && name.find('.') == std::string_view::npos;
}

bool has_copy(std::string_view path) { return is_table(path) || is_manifest(path); }

IO first_failure(IO one, IO other) {
    if (!one.ok()) {
        other.PermitUncheckedError();
        return one;
    }
    return other;
}

/// Writes everything to two files.
class doubled_file final : public rocksdb::FSWritableFileOwnerWrapper {
public:
    doubled_file(std::unique_ptr<rocksdb::FSWritableFile> file, std::unique_ptr<rocksdb::FSWritableFile> copy)
        : FSWritableFileOwnerWrapper(std::move(file)), copy_(std::move(copy)) {}

    IO Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
        return first_failure(FSWritableFileOwnerWrapper::Append(data, options, debug), copy_->Append(data, options, debug));
    }
    IO Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo& sums, IODebugContext* debug) override {
        return first_failure(FSWritableFileOwnerWrapper::Append(data, options, sums, debug), copy_->Append(data, options, sums, debug));
    }
    IO PositionedAppend(const Slice& data, std::uint64_t at, const IOOptions& options, IODebugContext* debug) override {
        return first_failure(FSWritableFileOwnerWrapper::PositionedAppend(data, at, options, debug), copy_->PositionedAppend(data, at, options, debug));
    }
    IO PositionedAppend(const Slice& data, std::uint64_t at, const IOOptions& options, const rocksdb::DataVerificationInfo& sums,
                        IODebugContext* debug) override {
        return first_failure(FSWritableFileOwnerWrapper::PositionedAppend(data, at, options, sums, debug),
                             copy_->PositionedAppend(data, at, options, sums, debug));
    }
    IO Truncate(std::uint64_t size, const IOOptions& options, IODebugContext* debug) override {
        return first_failure(FSWritableFileOwnerWrapper::Truncate(size, options, debug), copy_->Truncate(size, options, debug));
    }
    IO Flush(const IOOptions& options, IODebugContext* debug) override {
        return first_failure(FSWritableFileOwnerWrapper::Flush(options, debug), copy_->Flush(options, debug));
    }
    IO Sync(const IOOptions& options, IODebugContext* debug) override {
        return first_failure(FSWritableFileOwnerWrapper::Sync(options, debug), copy_->Sync(options, debug));
    }
    IO Fsync(const IOOptions& options, IODebugContext* debug) override {
        return first_failure(FSWritableFileOwnerWrapper::Fsync(options, debug), copy_->Fsync(options, debug));
    }
    IO Close(const IOOptions& options, IODebugContext* debug) override {
        return first_failure(FSWritableFileOwnerWrapper::Close(options, debug), copy_->Close(options, debug));
    }

private:
    const std::unique_ptr<rocksdb::FSWritableFile> copy_;
};

std::vector<std::string> names_in(rocksdb::FileSystem& files, const std::string& directory) {
    std::vector<std::string> names;
    files.GetChildren(directory, plain, &names, nullptr).PermitUncheckedError();
    std::sort(names.begin(), names.end());
    return names;
}

std::string bytes_of(rocksdb::FileSystem& files, const std::string& path) {
    std::string found;
    rocksdb::ReadFileToString(&files, path, &found).PermitUncheckedError();
    return found;
}

/// The file that the text of CURRENT, or of its copy, names; empty when it is not there.
std::string manifest_named_in(const std::string& text, const std::vector<std::string>& names) {
    const auto named = text.substr(0, text.find('\n'));
    return text.ends_with('\n') && is_manifest(named) && std::binary_search(names.begin(), names.end(), named) ? named : std::string{};
}

class copying_file_system final : public rocksdb::FileSystemWrapper {
public:
    explicit copying_file_system(std::shared_ptr<rocksdb::FileSystem> files) : FileSystemWrapper(std::move(files)) {}

    const char* Name() const override { return "keeping_copies"; }

    IO NewWritableFile(const std::string& path, const rocksdb::FileOptions& options, std::unique_ptr<rocksdb::FSWritableFile>* file,
                       IODebugContext* debug) override {
        auto status = target()->NewWritableFile(path, options, file, debug);
        if (!status.ok() || !has_copy(path)) {
            return status;
        }
        std::unique_ptr<rocksdb::FSWritableFile> copy;
        status = target()->NewWritableFile(copy_of(path), options, &copy, debug);
        if (!status.ok()) {
            file->reset();
            return status;
        }
        *file = std::make_unique<doubled_file>(std::move(*file), std::move(copy));
        return status;
    }

    IO DeleteFile(const std::string& path, const IOOptions& options, IODebugContext* debug) override {
        auto status = target()->DeleteFile(path, options, debug);
        if (has_copy(path)) {
            target()->DeleteFile(copy_of(path), options, debug).PermitUncheckedError();  // a store of an earlier program has none
        }
        return status;
    }

    /// How RocksDB changes to another manifest, which is whole by then. The copy goes first: at rest they say the same.
    IO RenameFile(const std::string& from, const std::string& to, const IOOptions& options, IODebugContext* debug) override {
        if (name_in(to) == "CURRENT") {
            auto status = replace_file(*target(), copy_of(to), [&](auto& copy) { return append_file(*target(), from, copy); });
            if (!status.ok()) {
                return status;
            }
        }
        return target()->RenameFile(from, to, options, debug);
    }

    IO LinkFile(const std::string& from, const std::string& to, const IOOptions& options, IODebugContext* debug) override {
        auto status = target()->LinkFile(from, to, options, debug);
        if (status.ok() && has_copy(from) && has_copy(to)) {
            target()->LinkFile(copy_of(from), copy_of(to), options, debug).PermitUncheckedError();
        }
        return status;
    }
};

constexpr std::size_t table_footer_bytes = 53;  // begins with the kind of checksums; 0: none, as no table of ours has

/// Then RocksDB takes whatever it finds in it for sound.
bool claims_no_checksums(rocksdb::FileSystem& files, const std::string& path) {
    std::uint64_t size = 0;
    std::unique_ptr<rocksdb::FSRandomAccessFile> file;
    char kind = 1;
    Slice got;
    return files.GetFileSize(path, plain, &size, nullptr).ok() && size >= table_footer_bytes && files.NewRandomAccessFile(path, {}, &file, nullptr).ok() &&
           file->Read(size - table_footer_bytes, 1, plain, &got, &kind, nullptr).ok() && got.size() == 1 && got[0] == 0;
}

/// Every block of the table, by its CRC. Empty: sound.
std::string wrong_in_table(rocksdb::Env& env, const std::string& path) {
    if (claims_no_checksums(*env.GetFileSystem(), path)) {
        return "Corruption: its footer says that it has no checksums";
    }
    rocksdb::Options options;
    options.env = &env;
    rocksdb::SstFileReader reader(options);
    auto status = reader.Open(path);
    if (status.ok()) {
        status = reader.VerifyChecksum();
    }
    return status.ok() ? std::string{} : status.ToString();
}

/// Its copy takes the place of a damaged file, which is kept for who wants to look.
error put_copy_in_place(rocksdb::FileSystem& files, const std::string& path) {
    files.LinkFile(path, path + ".damaged", plain, nullptr).PermitUncheckedError();  // not every file system can
    const auto replaced = replace_file(files, path, [&](auto& to) { return append_file(files, copy_of(path), to); });
    return replaced.ok() ? error{} : error{errc::storage_failure, path + " cannot be mended from its copy: " + replaced.ToString()};
}

/// What CURRENT and its copy name.
struct named_manifests {
    std::string current, copy;
};
named_manifests manifests_named(rocksdb::FileSystem& files, const std::string& directory) {
    const auto names = names_in(files, directory);
    const auto path = directory + "/CURRENT";
    return {manifest_named_in(bytes_of(files, path), names), manifest_named_in(bytes_of(files, copy_of(path)), names)};
}

error write_current(rocksdb::FileSystem& files, const std::string& path, const std::string& manifest) {
    const auto replaced = replace_file(files, path, [&](auto& to) { return to.Append(manifest + "\n", plain, nullptr); });
    return replaced.ok() ? error{} : error{errc::storage_failure, path + " cannot be mended: " + replaced.ToString()};
}

/// Tables or logs: CURRENT is there before them.
bool holds_messages(const std::vector<std::string>& names) {
    return std::any_of(names.begin(), names.end(), [](const std::string& name) { return name.ends_with(".sst") || name.ends_with(".log"); });
}

error mend_current(rocksdb::FileSystem& files, const std::string& directory, const std::function<void(const std::string&)>& tell) {
    const auto path = directory + "/CURRENT";
    const auto named = manifests_named(files, directory);
    if (named.current.empty() && named.copy.empty()) {
        // Without it RocksDB would begin a new store here, and delete what is in its way.
        const auto is_new = !files.FileExists(path, plain, nullptr).ok() && !holds_messages(names_in(files, directory));
        return is_new ? error{}
                      : error{errc::corruption,
                              "the store " + directory + " is damaged: CURRENT names no manifest that is there, nor does its copy; restore a backup"};
    }
    if (named.current.empty()) {
        error failed = put_copy_in_place(files, path);
        if (!failed) {
            tell("mended: CURRENT named no manifest and was made anew from its copy; nothing is lost");
        }
        return failed;
    }
    // The copy is written first, when the manifest that it names is whole. The older one, which may be there still, would open.
    const auto is_behind = std::pair(named.current.size(), named.current) < std::pair(named.copy.size(), named.copy);
    if (!is_behind) {
        return {};
    }
    error failed = write_current(files, path, named.copy);
    if (!failed) {
        failed = write_current(files, copy_of(path), named.current);
    }
    if (!failed) {
        tell("mended: CURRENT named " + named.current + " and its copy " + named.copy + ", which is newer; nothing is lost");
    }
    return failed;
}

}  // namespace

std::shared_ptr<rocksdb::FileSystem> keeping_copies(std::shared_ptr<rocksdb::FileSystem> files) {
    return std::make_shared<copying_file_system>(std::move(files));
}

error mend_manifest(rocksdb::FileSystem& files, const std::string& directory, const std::function<void(const std::string&)>& tell) {
    if (error failed = mend_current(files, directory, tell)) {
        return failed;
    }
    const auto named = bytes_of(files, directory + "/CURRENT");
    if (named.empty()) {
        return {};
    }
    const auto path = directory + "/" + named.substr(0, named.size() - 1);
    const auto front = front_of(files, path);
    const auto of_copy = front_of(files, copy_of(path));
    const auto told = std::string(name_in(path)) + " was sound up to byte " + std::to_string(front.bytes);
    if (front.bytes < of_copy.bytes) {
        error failed = put_copy_in_place(files, path);
        if (!failed) {
            tell("mended: " + told + " and was made anew from its copy; nothing is lost");
        }
        return failed;
    }
    // Both are synced before what they say counts: what one does not have was never said.
    if (!front.is_all && (of_copy.bytes == front.bytes || (of_copy.bytes > 0 && of_copy.is_all))) {
        const auto cut = replace_file(files, path, [&](auto& to) { return append_file(files, path, to, front.bytes); });
        if (!cut.ok()) {
            return {errc::storage_failure, path + " cannot be cut where it is torn: " + cut.ToString()};
        }
        tell("mended: " + told + " and was cut there, for its copy has no more; nothing is lost");
    }
    return {};
}

bool use_other_manifest(rocksdb::FileSystem& files, const std::string& directory, const std::function<void(const std::string&)>& tell) {
    const auto named = manifests_named(files, directory);
    if (named.current == named.copy || named.copy.empty() || put_copy_in_place(files, directory + "/CURRENT")) {
        return false;
    }
    tell("mended: CURRENT named " + named.current + ", which does not open, and names now " + named.copy + ", as its copy did; nothing is lost");
    return true;
}

table_state mend_table(rocksdb::FileSystem& files, rocksdb::Env& env, const std::string& directory, const std::string& name,
                       const std::function<void(const std::string&)>& tell) {
    const auto path = directory + "/" + name;
    const auto wrong = wrong_in_table(env, path);
    if (wrong.empty()) {
        return table_state::sound;
    }
    if (const auto of_copy = wrong_in_table(env, copy_of(path)); !of_copy.empty()) {
        tell("damaged: " + name + ", and its copy is no better, so it stays as it is: " + wrong + "; the copy: " + of_copy);
        return table_state::lost;
    }
    if (const error failed = put_copy_in_place(files, path)) {
        tell("damaged: " + name + ": " + wrong + "; " + failed.what);
        return table_state::lost;
    }
    tell("mended: " + name + " was damaged and was made anew from its copy; nothing of it is lost: " + wrong);
    return table_state::mended;
}

std::size_t mend_tables(rocksdb::FileSystem& files, rocksdb::Env& env, const std::string& directory, const std::function<void(const std::string&)>& tell) {
    const auto names = names_in(files, directory);
    return static_cast<std::size_t>(std::count_if(names.begin(), names.end(), [&](const std::string& name) {
        return is_table(name) && mend_table(files, env, directory, name, tell) == table_state::mended;
    }));
}

void mend_unchecked_tables(rocksdb::FileSystem& files, rocksdb::Env& env, const std::string& directory, const std::function<void(const std::string&)>& tell) {
    for (const auto& name : names_in(files, directory)) {
        if (is_table(name) && claims_no_checksums(files, directory + "/" + name)) {
            mend_table(files, env, directory, name, tell);
        }
    }
}

bool can_mend(rocksdb::Env& env, const std::string& directory, const std::string& name) {
    const auto path = directory + "/" + name;
    return !wrong_in_table(env, path).empty() && wrong_in_table(env, copy_of(path)).empty();
}

std::string table_named_in(const std::string& words) {
    const auto end = words.find(".sst");
    if (end == std::string::npos) {
        return {};
    }
    auto begin = end;
    while (begin > 0 && std::isdigit(static_cast<unsigned char>(words[begin - 1])) != 0) {
        --begin;
    }
    return begin == end ? std::string{} : words.substr(begin, end + 4 - begin);
}

void drop_lone_copies(rocksdb::FileSystem& files, const std::string& directory) {
    const auto names = names_in(files, directory);
    for (const auto& name : names) {
        if (!name.ends_with(copy_suffix)) {
            continue;
        }
        const auto original = name.substr(0, name.size() - copy_suffix.size());
        if (has_copy(original) && !std::binary_search(names.begin(), names.end(), original)) {
            files.DeleteFile(directory + "/" + name, plain, nullptr).PermitUncheckedError();
        }
    }
}

}  // namespace millrace::storage
