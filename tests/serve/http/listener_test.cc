// SPDX-License-Identifier: Apache-2.0
#include "serve/http/listener.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "tests/serve/http/http_client.h"

namespace lockstep {
namespace {

// No further descriptor can be opened while it lives.
class NoDescriptors {
 public:
  NoDescriptors() {
    getrlimit(RLIMIT_NOFILE, &before_);
    const int lowest_free = dup(0);
    close(lowest_free);
    rlimit tight = before_;
    tight.rlim_cur = static_cast<rlim_t>(lowest_free);
    setrlimit(RLIMIT_NOFILE, &tight);
  }
  ~NoDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;

 private:
  rlimit before_{};
};

class ListenerTest : public ::testing::Test {
 protected:
  ~ListenerTest() override {
    for (const int socket : taken_) close(socket);
  }
  Listener::Accepted accept() {
    return listener_->accept([this](int socket) { taken_.push_back(socket); });
  }

  const std::unique_ptr<Listener> listener_ = Listener::open("127.0.0.1", 0).value();
  std::vector<int> taken_;
};

TEST_F(ListenerTest, HandsOverAllThatWait) {
  const HttpClient first(listener_->port()), second(listener_->port());
  EXPECT_EQ(accept().taken, 2);
  EXPECT_EQ(taken_.size(), 2u);
  EXPECT_EQ(accept().taken, 0);
}

TEST_F(ListenerTest, MissesNoDescriptorWhileNobodyWaits) {
#ifdef LOCKSTEP_ADDRESS_SANITIZER
  GTEST_SKIP() << "UBSan opens a pipe itself to see whether an object's type can be read";
#endif
  const NoDescriptors none;
  const Listener::Accepted accepted = accept();
  EXPECT_FALSE(accepted.is_exhausted);
  EXPECT_EQ(accepted.dropped, 0);
}

TEST_F(ListenerTest, ClosesWhatThereIsNoDescriptorFor) {
#ifdef LOCKSTEP_ADDRESS_SANITIZER
  GTEST_SKIP() << "UBSan opens a pipe itself to see whether an object's type can be read";
#endif
  HttpClient first(listener_->port()), second(listener_->port());
  {
    const NoDescriptors none;
    const Listener::Accepted accepted = accept();
    EXPECT_FALSE(accepted.is_exhausted);
    EXPECT_EQ(accepted.dropped, 2);
    EXPECT_EQ(accepted.taken, 0);
  }
  EXPECT_EQ(first.receive_all(), "");
  EXPECT_EQ(second.receive_all(), "");
  const HttpClient third(listener_->port());
  EXPECT_EQ(accept().taken, 1);
}

}  // namespace
}  // namespace lockstep
