use super::*;

#[track_caller]
fn check(address: &str, want: Class) {
    let parsed: IpAddr = address.parse().expect("an address");
    assert_eq!(classify(parsed), want, "{address}");
}

#[test]
fn ipv4_by_network_and_at_its_edges() {
    for (address, want) in [
        ("8.8.8.8", Class::Public),
        ("0.0.0.0", Class::Unspecified),
        ("0.255.255.255", Class::Unspecified),
        ("1.0.0.0", Class::Public),
        ("9.255.255.255", Class::Public),
        ("10.0.0.0", Class::Private),
        ("10.255.255.255", Class::Private),
        ("11.0.0.0", Class::Public),
        ("100.63.255.255", Class::Public),
        ("100.64.0.0", Class::Shared),
        ("100.127.255.255", Class::Shared),
        ("100.128.0.0", Class::Public),
        ("100.100.100.200", Class::Metadata),
        ("127.0.0.1", Class::Loopback),
        ("127.255.255.254", Class::Loopback),
        ("168.63.129.16", Class::Metadata),
        ("169.254.0.1", Class::LinkLocal),
        ("169.254.169.254", Class::Metadata),
        ("169.254.170.2", Class::Metadata),
        ("172.15.255.255", Class::Public),
        ("172.16.0.0", Class::Private),
        ("172.31.255.255", Class::Private),
        ("172.32.0.0", Class::Public),
        ("192.0.0.8", Class::Reserved),
        ("192.0.0.192", Class::Metadata),
        ("192.0.2.1", Class::Documentation),
        ("192.88.99.1", Class::Tunnel),
        ("192.167.255.255", Class::Public),
        ("192.168.0.0", Class::Private),
        ("192.169.0.0", Class::Public),
        ("198.17.255.255", Class::Public),
        ("198.18.0.0", Class::Benchmark),
        ("198.19.255.255", Class::Benchmark),
        ("198.51.100.7", Class::Documentation),
        ("203.0.113.7", Class::Documentation),
        ("223.255.255.255", Class::Public),
        ("224.0.0.1", Class::Multicast),
        ("239.255.255.255", Class::Multicast),
        ("240.0.0.1", Class::Reserved),
        ("255.255.255.255", Class::Broadcast),
    ] {
        check(address, want);
    }
}

#[test]
fn ipv6_and_the_forms_that_hide_ipv4() {
    for (address, want) in [
        ("2606:4700:4700::1111", Class::Public),
        ("::", Class::Unspecified),
        ("::1", Class::Loopback),
        ("::ffff:8.8.8.8", Class::Public),
        ("::ffff:127.0.0.1", Class::Loopback),
        ("::ffff:169.254.169.254", Class::Metadata),
        ("::ffff:10.1.2.3", Class::Private),
        ("::127.0.0.1", Class::Tunnel),
        ("::8.8.8.8", Class::Tunnel),
        ("::169.254.169.254", Class::Metadata),
        ("::ffff:0:8.8.8.8", Class::Tunnel),
        ("64:ff9b::8.8.8.8", Class::Public),
        ("64:ff9b::10.0.0.1", Class::Private),
        ("64:ff9b::169.254.169.254", Class::Metadata),
        ("64:ff9b:1::10.0.0.1", Class::Tunnel),
        ("64:ff9b:1::169.254.169.254", Class::Metadata),
        ("2002:a00:1::", Class::Tunnel),
        ("2002:808:808::", Class::Tunnel),
        ("2002:a9fe:a9fe::1", Class::Metadata),
        ("2001:0:53aa:64c::f5ff:fffe", Class::Tunnel),
        ("2001:0:53aa:64c:0:0:5601:5601", Class::Metadata),
        ("fe80::5efe:10.0.0.1", Class::Tunnel),
        ("2a00:1450::200:5efe:8.8.8.8", Class::Tunnel),
        ("2001:db8::1", Class::Documentation),
        ("3fff::1", Class::Documentation),
        ("2001:2::1", Class::Benchmark),
        ("2001:10::1", Class::Reserved),
        ("2001:200::1", Class::Public),
        ("100::1", Class::Reserved),
        ("5f00::1", Class::Reserved),
        ("4000::1", Class::Reserved),
        ("fc00::1", Class::UniqueLocal),
        ("fdff::1", Class::UniqueLocal),
        ("fd00:ec2::254", Class::Metadata),
        ("fe80::1", Class::LinkLocal),
        ("febf::1", Class::LinkLocal),
        ("fec0::1", Class::UniqueLocal),
        ("ff02::1", Class::Multicast),
    ] {
        check(address, want);
    }
}
