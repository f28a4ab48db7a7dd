//! The description of the service that a stock SOAP client is made from.

use quick_xml::escape::escape;

use super::soap::FINANCIAL_NAMESPACE;

/// The WSDL 1.1 document (document/literal, wrapped) of a service at this URL.
pub(crate) fn wsdl(url: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="utf-8"?>
<wsdl:definitions name="FinancialService" targetNamespace="{FINANCIAL_NAMESPACE}" xmlns:tns="{FINANCIAL_NAMESPACE}"
    xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"
    xmlns:xsd="http://www.w3.org/2001/XMLSchema">
  <wsdl:types>
    <xsd:schema targetNamespace="{FINANCIAL_NAMESPACE}" elementFormDefault="qualified">
      <xsd:element name="AuthorizePayment">
        <xsd:complexType>
          <xsd:sequence>
            <xsd:element name="transaction_id" type="xsd:string"/>
            <xsd:element name="card_name" type="xsd:string"/>
            <xsd:element name="card_number" type="xsd:string"/>
            <xsd:element name="expiry" type="xsd:string"/>
            <xsd:element name="security_code" type="xsd:string"/>
            <xsd:element name="amount_cents" type="xsd:unsignedLong"/>
          </xsd:sequence>
        </xsd:complexType>
      </xsd:element>
      <xsd:element name="AuthorizePaymentResponse">
        <xsd:complexType>
          <xsd:sequence>
            <xsd:element name="approved" type="xsd:boolean"/>
            <xsd:element name="authorization_id" type="xsd:string"/>
          </xsd:sequence>
        </xsd:complexType>
      </xsd:element>
      <xsd:element name="VoidPayment">
        <xsd:complexType>
          <xsd:sequence>
            <xsd:element name="transaction_id" type="xsd:string"/>
          </xsd:sequence>
        </xsd:complexType>
      </xsd:element>
      <xsd:element name="VoidPaymentResponse">
        <xsd:complexType>
          <xsd:sequence>
            <xsd:element name="voided" type="xsd:boolean"/>
          </xsd:sequence>
        </xsd:complexType>
      </xsd:element>
    </xsd:schema>
  </wsdl:types>
  <wsdl:message name="AuthorizePaymentRequest"><wsdl:part name="parameters" element="tns:AuthorizePayment"/></wsdl:message>
  <wsdl:message name="AuthorizePaymentResponse"><wsdl:part name="parameters" element="tns:AuthorizePaymentResponse"/></wsdl:message>
  <wsdl:message name="VoidPaymentRequest"><wsdl:part name="parameters" element="tns:VoidPayment"/></wsdl:message>
  <wsdl:message name="VoidPaymentResponse"><wsdl:part name="parameters" element="tns:VoidPaymentResponse"/></wsdl:message>
  <wsdl:portType name="FinancialPort">
    <wsdl:operation name="AuthorizePayment">
      <wsdl:documentation>Authorizes a payment, once per transaction id: the same id has the same answer.</wsdl:documentation>
      <wsdl:input message="tns:AuthorizePaymentRequest"/>
      <wsdl:output message="tns:AuthorizePaymentResponse"/>
    </wsdl:operation>
    <wsdl:operation name="VoidPayment">
      <wsdl:documentation>Makes sure that nothing is, or will be, charged for a transaction id.</wsdl:documentation>
      <wsdl:input message="tns:VoidPaymentRequest"/>
      <wsdl:output message="tns:VoidPaymentResponse"/>
    </wsdl:operation>
  </wsdl:portType>
  <wsdl:binding name="FinancialBinding" type="tns:FinancialPort">
    <soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>
    <wsdl:operation name="AuthorizePayment">
      <soap:operation soapAction="{FINANCIAL_NAMESPACE}:AuthorizePayment"/>
      <wsdl:input><soap:body use="literal"/></wsdl:input>
      <wsdl:output><soap:body use="literal"/></wsdl:output>
    </wsdl:operation>
    <wsdl:operation name="VoidPayment">
      <soap:operation soapAction="{FINANCIAL_NAMESPACE}:VoidPayment"/>
      <wsdl:input><soap:body use="literal"/></wsdl:input>
      <wsdl:output><soap:body use="literal"/></wsdl:output>
    </wsdl:operation>
  </wsdl:binding>
  <wsdl:service name="FinancialService">
    <wsdl:port name="FinancialPort" binding="tns:FinancialBinding">
      <soap:address location="{location}"/>
    </wsdl:port>
  </wsdl:service>
</wsdl:definitions>
"#,
        location = escape(url),
    )
}
