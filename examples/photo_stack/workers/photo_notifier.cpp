// photo-notifier: tells the owner of each uploaded photo that it has arrived. A message is a file in a folder, from where a mail server would take it; its
// name is the photo's, so that it is there once.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>

#include "examples/photo_stack/photos/draft.hpp"
#include "examples/photo_stack/photos/photo_messages.hpp"
#include "examples/photo_stack/workers/worker_program.hpp"

namespace {

namespace client = millrace::client;
namespace fs = std::filesystem;

void notify(const fs::path& spool, const photo_stack::uploaded_photo& job) {
    if (job.version > 1) return;  // who has edited it knows that it has arrived
    const auto name = std::to_string(job.photo) + "-" + std::to_string(job.version) + ".txt";
    const photo_stack::draft draft(spool / "drafts");
    const auto file = draft.folder() / name;
    std::ofstream out(file);
    out << "To: " << job.owner << "\nSubject: Your photo '" << job.title << "' has arrived\n\nSee it at /photos/" << job.photo << "\n";
    out.close();
    if (!out) throw std::runtime_error("cannot write " + file.string());
    fs::rename(file, spool / name);
}

}  // namespace

int main(int argc, char** argv) {
    fs::path spool;
    client::connection_settings broker;
    CLI::App app("Tells people that their photos have arrived", "photo-notifier");
    photo_workers::add_broker_options(app, broker);
    app.add_option("--spool", spool, "folder for the messages")->required();
    CLI11_PARSE(app, argc, argv);
    return photo_workers::run_worker<photo_stack::uploaded_photo>(
        broker, photo_stack::uploaded_topic, photo_stack::notifications_subscription,
        [&](client::connection&, const photo_stack::uploaded_photo& job, const photo_spans::span_context&) { notify(spool, job); });
}
