// A folder to make a photo's files in: what nobody has taken out of it goes with it.
#pragma once

#include <chrono>
#include <filesystem>

namespace photo_stack {

class draft {
public:
    /// An empty folder of its own below `beside`, which is made when it is missing. Throws std::system_error.
    explicit draft(const std::filesystem::path& beside);
    ~draft();
    draft(const draft&) = delete;
    draft& operator=(const draft&) = delete;

    const std::filesystem::path& folder() const noexcept { return folder_; }

private:
    std::filesystem::path folder_;
};

/// Those below `beside` that nobody has touched for so long: whoever has made them was killed.
void remove_old_drafts(const std::filesystem::path& beside, std::chrono::milliseconds age);

}  // namespace photo_stack
