// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A clerk at a post office, who weighs parcels and says what each costs.

#ifndef INSTAR_EXAMPLES_EXPLORER_POST_H_
#define INSTAR_EXAMPLES_EXPLORER_POST_H_

namespace post {

int Weigh(int parcel);    // in grams
int Postage(int weight);  // in cents; of the weight in grams
// Weighs it, and says its postage.
void Send(int parcel);

void Serve();     // sends three parcels
void Workload();  // the clerk's thread, which serves

}  // namespace post

#endif  // INSTAR_EXAMPLES_EXPLORER_POST_H_
