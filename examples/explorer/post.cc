// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/explorer/post.h"

#include <iostream>

#include "threads/controlled_thread.h"
#include "threads/update_point.h"

namespace post {

int Weigh(int parcel) { return 280 * parcel; }

int Postage(int weight) { return 50 + weight / 10; }

void Send(int parcel) {
  const int weight = Weigh(parcel);
  instar::UpdatePoint();  // the customer looks for his purse
  std::cout << "parcel " << parcel << ": " << Postage(weight) << " cents"
            << std::endl;
}

void Serve() {
  for (int parcel = 1; parcel <= 3; ++parcel) {
    instar::UpdatePoint("between parcels");
    Send(parcel);
  }
}

void Workload() { instar::StartPassiveThread("clerk", &Serve); }

}  // namespace post
