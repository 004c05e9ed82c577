//! From a volume's human name to its EBS id, labels, claim and zone
