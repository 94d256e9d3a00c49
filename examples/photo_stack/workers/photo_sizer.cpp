// photo-sizer: makes the sizes of uploaded photos. They are stored, then told, and then the job is acked: a crash in between repeats the job, whose files are
// the same again, and whose results have their effect once.
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <fstream>

#include "examples/photo_stack/photos/draft.hpp"
#include "examples/photo_stack/photos/object_stores.hpp"
#include "examples/photo_stack/photos/photo_messages.hpp"
#include "examples/photo_stack/workers/worker_program.hpp"
#include "examples/photo_workers/renditions.hpp"

namespace {

namespace client = millrace::client;
namespace fs = std::filesystem;
using photo_stack::size_result;
using photo_stack::uploaded_photo;

void write_file(const fs::path& file, const std::string& content) {
    std::ofstream out(file, std::ios::binary);
    if (!out.write(content.data(), static_cast<std::streamsize>(content.size())).flush()) throw std::runtime_error("cannot write " + file.string());
}

/// Stored; and what is to be told of them.
std::vector<size_result> make_sizes(photo_stack::photo_files& files, const fs::path& drafts, const uploaded_photo& job, const std::string& original) {
    const photo_stack::draft taken(drafts), made(drafts);
    write_file(taken.folder() / job.original, original);
    const auto sizes = photo_stack::make_sizes(taken.folder() / job.original, made.folder(), job.version);
    const bool everywhere = files.keep(job.photo, made.folder());
    std::vector<size_result> results;
    for (const auto& size : sizes) results.push_back({.photo = job.photo, .version = job.version, .size = size, .sizes = sizes.size()});
    results.back().uneven = !everywhere;
    return results;
}

void process(client::connection& broker, photo_stack::photo_files& files, const fs::path& drafts, const uploaded_photo& job, const photo_spans::span_context& span) {
    const auto original = files.read(job.photo, job.original);
    if (!original) {
        spdlog::info("photo {} is gone", job.photo);  // deleted since
        return;
    }
    std::vector<size_result> results;
    try {
        results = make_sizes(files, drafts, job, *original);
    } catch (const photos::unusable& why) {
        results = {{.photo = job.photo, .version = job.version, .fault = why.what()}};
    }
    photo_workers::publish_results(broker, results, span);
}

}  // namespace

int main(int argc, char** argv) {
    std::vector<std::string> stores;
    fs::path drafts;
    client::connection_settings broker;
    CLI::App app("Makes the sizes of uploaded photos", "photo-sizer");
    photo_workers::add_broker_options(app, broker);
    app.add_option("--object-stores", stores, "http://ADDRESS:PORT,… of the photos' files: each has all of them")->required()->delimiter(',');
    app.add_option("--drafts", drafts, "folder for files that are being made")->required();
    CLI11_PARSE(app, argc, argv);
    photos::start_imaging("photo-sizer");
    photo_stack::object_stores files(stores);
    return photo_workers::run_worker<uploaded_photo>(
        broker, photo_stack::uploaded_topic, photo_stack::workers_subscription,
        [&](client::connection& c, const uploaded_photo& job, const photo_spans::span_context& span) { process(c, files, drafts, job, span); });
}
