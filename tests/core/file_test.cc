// SPDX-License-Identifier: Apache-2.0
#include "core/base/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "tests/support/fault_file.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string message_of(const absl::Status& status) { return std::string(status.message()); }

TEST(RandomAccessFile, ReadsAnyRangeAndLessAtTheEnd) {
  const TmpDir dir;
  spill(dir.file("f"), "0123456789");
  const auto file = RandomAccessFile::open(dir.file("f"));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->size(), 10u);
  EXPECT_EQ((*file)->path(), dir.file("f"));
  std::string buffer(4, '-');
  EXPECT_EQ((*file)->read_at(3, 4, buffer.data()).value(), 4u);
  EXPECT_EQ(buffer, "3456");
  EXPECT_EQ((*file)->read_at(8, 4, buffer.data()).value(), 2u);
  EXPECT_EQ((*file)->read_at(10, 4, buffer.data()).value(), 0u);
  EXPECT_EQ((*file)->read_at(1000, 4, buffer.data()).value(), 0u);
}

TEST(RandomAccessFile, MissingFileAndDirectoryAreErrorsThatNameThem) {
  const TmpDir dir;
  const absl::Status missing = RandomAccessFile::open(dir.file("none")).status();
  EXPECT_TRUE(absl::IsNotFound(missing));
  EXPECT_THAT(message_of(missing), HasSubstr(dir.file("none")));
  EXPECT_THAT(message_of(RandomAccessFile::open(dir.path()).status()), HasSubstr("Is a directory"));
}

TEST(WritableFile, AppendsShortAndLongPieces) {
  const TmpDir dir;
  const std::string large(700000, 'x');
  auto file = WritableFile::create(dir.file("f"));
  ASSERT_TRUE(file.ok());
  for (const std::string& piece : {std::string("a"), large, std::string("b")}) {
    ASSERT_TRUE((*file)->append(piece).ok());
  }
  ASSERT_TRUE((*file)->sync().ok());
  EXPECT_EQ(slurp(dir.file("f")), "a" + large + "b");
  ASSERT_TRUE((*file)->append("c").ok());
  ASSERT_TRUE((*file)->close().ok());
  EXPECT_EQ(slurp(dir.file("f")), "a" + large + "bc");
}

// More than is written before the disk is told to begin: in a file, and in a pipe, which knows no disk.
TEST(WritableFile, ManyBytesArriveInFilesAndPipes) {
  const TmpDir dir;
  std::string bytes;
  for (int i = 0; bytes.size() < (9 << 20); ++i) bytes += std::to_string(i);
  const std::string pipe = dir.file("pipe");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::string received;
  std::thread reader([&] { received = slurp(pipe); });
  for (const std::string& path : {pipe, dir.file("f")}) {
    auto file = WritableFile::create(path);
    ASSERT_TRUE(file.ok()) << file.status();
    for (size_t at = 0; at < bytes.size(); at += 300000) {
      ASSERT_TRUE((*file)->append(std::string_view(bytes).substr(at, 300000)).ok());
    }
    ASSERT_TRUE((*file)->close().ok());
  }
  reader.join();
  EXPECT_TRUE(received == bytes);
  EXPECT_TRUE(slurp(dir.file("f")) == bytes);
}

TEST(WritableFile, FlushedBytesAreSeenByAReader) {
  const TmpDir dir;
  auto file = WritableFile::create(dir.file("f"));
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->append("abc").ok());
  ASSERT_TRUE((*file)->flush().ok());
  EXPECT_EQ(slurp(dir.file("f")), "abc");
}

TEST(WritableFile, TruncatesAppendsOrRefusesAsAsked) {
  const TmpDir dir;
  const auto write = [&](absl::StatusOr<std::unique_ptr<WritableFile>> file, std::string_view text) {
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE((*file)->append(text).ok());
    ASSERT_TRUE((*file)->close().ok());
  };
  write(WritableFile::create_new(dir.file("f")), "one");
  EXPECT_TRUE(absl::IsAlreadyExists(WritableFile::create_new(dir.file("f")).status()));
  write(WritableFile::create(dir.file("f"), true), "two");
  EXPECT_EQ(slurp(dir.file("f")), "onetwo");
  write(WritableFile::create(dir.file("f")), "three");
  EXPECT_EQ(slurp(dir.file("f")), "three");
}

TEST(WritableFile, FullDiskIsAnErrorThatNamesTheFile) {
  const TmpDir dir;
  NoSpaceAfter faults(2);
  const ScopedFileHooks hooks(&faults);
  auto file = WritableFile::create(dir.file("f"));
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->append("abc").ok());  // buffered
  const absl::Status status = (*file)->close();
  EXPECT_THAT(message_of(status), HasSubstr("No space left"));
  EXPECT_THAT(message_of(status), HasSubstr(dir.file("f")));
  EXPECT_EQ(slurp(dir.file("f")), "ab");
}

TEST(AtomicFile, NothingIsSeenBeforeCommit) {
  const TmpDir dir;
  auto file = AtomicFile::create(dir.file("f"));
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(file->append("new").ok());
  EXPECT_FALSE(file_exists(dir.file("f")));
  ASSERT_TRUE(file->commit().ok());
  EXPECT_EQ(slurp(dir.file("f")), "new");
}

TEST(AtomicFile, WithoutCommitTheOldFileStaysAndNoTemporaryIsLeft) {
  const TmpDir dir;
  spill(dir.file("f"), "old");
  {
    auto file = AtomicFile::create(dir.file("f"));
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE(file->append("new").ok());
  }
  EXPECT_EQ(slurp(dir.file("f")), "old");
  EXPECT_THAT(list_directory(dir.path()).value(), ElementsAre("f"));
}

TEST(AtomicFile, IsOnDiskBeforeItGetsItsName) {
  const TmpDir dir;
  FileOpLog log;
  const ScopedFileHooks hooks(&log);
  ASSERT_TRUE(write_file_atomic(dir.file("f"), "text").ok());
  const std::string tmp = fmt::format("f.tmp.{}", ::getpid());
  EXPECT_THAT(log.lines(), ElementsAre("create " + tmp, "write " + tmp, "sync " + tmp, "close " + tmp, "rename f",
                                       "sync_directory " + base_name(dir.path())));
}

TEST(AtomicFile, AnyFailureLeavesTheOldFileAndNoTemporary) {
  for (const FileOp op : {FileOp::kCreate, FileOp::kWrite, FileOp::kSync, FileOp::kClose, FileOp::kRename}) {
    const TmpDir dir;
    spill(dir.file("f"), "old");
    FailOn faults(op, "f");
    const ScopedFileHooks hooks(&faults);
    EXPECT_FALSE(write_file_atomic(dir.file("f"), "new").ok()) << file_op_name(op);
    EXPECT_EQ(slurp(dir.file("f")), "old") << file_op_name(op);
    EXPECT_THAT(list_directory(dir.path()).value(), ElementsAre("f")) << file_op_name(op);
  }
}

TEST(AtomicFile, ACrashAtAnyPointLeavesTheOldOrTheNewFile) {
  for (int at = 0; at < 6; ++at) {
    const TmpDir dir;
    spill(dir.file("f"), "old");
    CrashAt crash(at);
    const ScopedFileHooks hooks(&crash);
    EXPECT_FALSE(write_file_atomic(dir.file("f"), "new").ok());
    EXPECT_EQ(slurp(dir.file("f")), at < 5 ? "old" : "new") << "before operation " << at;
  }
}

TEST(ReadFile, ReturnsTheWholeFileUpToItsLimit) {
  const TmpDir dir;
  spill(dir.file("f"), std::string("a\0b", 3));
  EXPECT_EQ(read_file(dir.file("f")).value(), std::string("a\0b", 3));
  EXPECT_EQ(read_file(dir.file("f"), 3).value().size(), 3u);
  const absl::Status status = read_file(dir.file("f"), 2).status();
  EXPECT_TRUE(absl::IsResourceExhausted(status));
  EXPECT_THAT(message_of(status), HasSubstr("3 bytes, more than the limit of 2 bytes"));
}

TEST(ReadFile, ReadsAPipeToItsEndUpToItsLimit) {
  const TmpDir dir;
  const std::string pipe = dir.file("pipe"), text(200'000, 'x');
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const auto read_while_written = [&pipe](const std::string& written, uint64_t limit) {
    const std::jthread writer([&] { spill(pipe, written); });
    return read_file(pipe, limit);
  };
  EXPECT_EQ(read_while_written(text, text.size()).value(), text);
  const absl::Status status = read_while_written(text.substr(0, 2000), 1000).status();
  EXPECT_TRUE(absl::IsResourceExhausted(status));
  EXPECT_THAT(message_of(status), HasSubstr("pipe: more than 1000 bytes"));
}

TEST(ReadFile, ReadErrorsTravelUp) {
  const TmpDir dir;
  spill(dir.file("f"), "abc");
  FailReadsAt faults("f", 1);
  const ScopedFileHooks hooks(&faults);
  EXPECT_THAT(message_of(read_file(dir.file("f")).status()), HasSubstr("cannot read at offset 0"));
}

TEST(Directories, AreMadeListedAndTold) {
  const TmpDir dir;
  EXPECT_THAT(list_directory(dir.path()).value(), IsEmpty());
  ASSERT_TRUE(make_directories(dir.file("a/b/c")).ok());
  ASSERT_TRUE(make_directories(dir.file("a/b/c")).ok());
  EXPECT_TRUE(is_directory(dir.file("a/b")));
  spill(dir.file("z"), "");
  spill(dir.file("B"), "");
  EXPECT_THAT(list_directory(dir.path()).value(), ElementsAre("B", "a", "z"));
  EXPECT_FALSE(is_directory(dir.file("z")));
  EXPECT_FALSE(make_directories(dir.file("z/y")).ok());
  EXPECT_TRUE(absl::IsNotFound(list_directory(dir.file("none")).status()));
  EXPECT_TRUE(sync_directory(dir.path()).ok());
  EXPECT_FALSE(sync_directory(dir.file("z")).ok());
}

TEST(Files, StreamsAreTold) {
  const TmpDir dir;
  spill(dir.file("z"), "");
  ASSERT_EQ(::mkfifo(dir.file("pipe").c_str(), 0600), 0);
  EXPECT_TRUE(is_stream(dir.file("pipe")));
  EXPECT_TRUE(is_stream("/dev/null"));
  for (const std::string& path : {dir.file("z"), dir.path(), dir.file("absent")}) EXPECT_FALSE(is_stream(path)) << path;
}

TEST(Directories, NewOneIsRefusedWhereSomethingIs) {
  const TmpDir dir;
  ASSERT_TRUE(make_new_directory(dir.file("a")).ok());
  EXPECT_TRUE(is_directory(dir.file("a")));
  EXPECT_TRUE(absl::IsAlreadyExists(make_new_directory(dir.file("a"))));
  EXPECT_TRUE(absl::IsNotFound(make_new_directory(dir.file("b/c"))));
}

TEST(Directories, AreRenamedAndRemovedWithWhatIsInThem) {
  const TmpDir dir;
  ASSERT_TRUE(make_directories(dir.file("a/b")).ok());
  spill(dir.file("a/b/file"), "x");
  ASSERT_TRUE(rename_path(dir.file("a"), dir.file("c")).ok());
  EXPECT_EQ(slurp(dir.file("c/b/file")), "x");
  EXPECT_TRUE(absl::IsNotFound(rename_path(dir.file("a"), dir.file("d"))));
  ASSERT_TRUE(remove_tree(dir.file("c")).ok());
  EXPECT_FALSE(file_exists(dir.file("c")));
  EXPECT_TRUE(remove_tree(dir.file("c")).ok());
}

TEST(RemoveFile, IsFineWhenThereIsNone) {
  const TmpDir dir;
  spill(dir.file("f"), "");
  EXPECT_TRUE(remove_file(dir.file("f")).ok());
  EXPECT_FALSE(file_exists(dir.file("f")));
  EXPECT_TRUE(remove_file(dir.file("f")).ok());
  EXPECT_FALSE(remove_file(dir.path()).ok());
}

TEST(Paths, AreJoinedAndTakenApart) {
  EXPECT_EQ(join_path("a", "b"), "a/b");
  EXPECT_EQ(join_path("a/", "b"), "a/b");
  EXPECT_EQ(join_path("", "b"), "b");
  EXPECT_EQ(base_name("a/b/c.txt"), "c.txt");
  EXPECT_EQ(base_name("c.txt"), "c.txt");
  EXPECT_EQ(directory_name("a/b/c.txt"), "a/b");
  EXPECT_EQ(directory_name("c.txt"), ".");
  EXPECT_EQ(directory_name("/c.txt"), "/");
}

TEST(FileActivity, GrowsWithEveryMebibyteReadWrittenAndSynced) {
  const TmpDir dir;
  const auto file = WritableFile::create(dir.file("x"));
  ASSERT_TRUE(file.ok());
  const std::string data(5 << 20, 'x');
  uint64_t before = file_activity();
  ASSERT_TRUE((*file)->append(data).ok());
  EXPECT_GE(file_activity(), before + 5);
  before = file_activity();
  ASSERT_TRUE((*file)->sync().ok());
  EXPECT_GE(file_activity(), before + 2);
  before = file_activity();
  EXPECT_EQ(*read_file(dir.file("x")), data);
  EXPECT_GE(file_activity(), before + 5);
}

TEST(DirectoryLockTest, KeepsOthersOutUntilItGoesAndFollowsARename) {
  TmpDir dir;
  const std::string path = dir.file("locked");
  ASSERT_TRUE(make_directories(path).ok());
  {
    const auto lock = DirectoryLock::acquire(path);
    ASSERT_TRUE(lock.ok());
    EXPECT_TRUE(lock->holds());
    EXPECT_EQ(DirectoryLock::acquire(path).status().code(), absl::StatusCode::kFailedPrecondition);
    ASSERT_TRUE(rename_path(path, dir.file("moved")).ok());
    EXPECT_FALSE(DirectoryLock::acquire(dir.file("moved")).ok());
    ASSERT_TRUE(make_directories(path).ok());
    EXPECT_TRUE(DirectoryLock::acquire(path).ok());
  }
  EXPECT_TRUE(DirectoryLock::acquire(dir.file("moved")).ok());
  EXPECT_FALSE(DirectoryLock().holds());
  EXPECT_FALSE(DirectoryLock::acquire(dir.file("nowhere")).ok());
}

}  // namespace
}  // namespace lockstep
